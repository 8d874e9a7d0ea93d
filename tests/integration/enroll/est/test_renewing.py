"""Re-enrolment by EST: with the certificate that is renewed, for what it has, judged now."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.est import Est, again, request_of
from troth.enroll.acme.closing import Closer
from troth.enroll.credentials.model import NameRules
from troth.enroll.est.prune import EstPruner
from troth.pki import revocation
from troth.store.unit import Unit

HOST = "host-1.corp.example"
LATER = timedelta(days=2)


async def enrolled(
    est: Est, *, label: str = "", name: str = HOST, common_name: str = "", **wanted: object
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    user = await est.enrolment(**wanted)
    key = ec.generate_private_key(ec.SECP256R1())
    csr = request_of(key, name, common_name=common_name)
    return (await est.ask("simpleenroll", csr, user=user, label=label)).leaf, key


async def id_of(est: Est, leaf: x509.Certificate) -> UUID:
    serial = leaf.serial_number.to_bytes(16, "big")
    return await est.mint.database.fetchval("SELECT id FROM certificate WHERE serial = $1", serial)


async def test_a_certificate_is_renewed_by_itself_with_a_new_key_or_the_old_one(est: Est) -> None:
    leaf, key = await enrolled(est)
    fresh = ec.generate_private_key(ec.SECP256R1())
    for one in (fresh, key):
        answer = await est.ask("simplereenroll", again(leaf, one), certificate=leaf)
        assert answer.leaf.public_key() == one.public_key()
        assert answer.leaf.serial_number != leaf.serial_number
        assert answer.leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ) == leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    moment = await est.mint.database.fetchval("SELECT moment FROM decision ORDER BY id DESC LIMIT 1")
    assert moment == "renew"
    # What was renewed is renewed again: it rests on the same enrolment.
    renewed = answer.leaf
    assert (await est.ask("simplereenroll", again(renewed, fresh), certificate=renewed)).status == 200


async def test_no_certificate_or_one_that_does_not_belong_here_renews_nothing(est: Est) -> None:
    leaf, key = await enrolled(est)
    user = await est.enrolment()
    answer = await est.ask("simplereenroll", again(leaf, key), user=user)  # a secret renews nothing
    assert (answer.status, answer.code) == (403, "est.certificate.needed")
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf, label="servers")
    assert answer.code == "est.certificate.elsewhere"
    server, _ = await enrolled(est, label="servers")
    answer = await est.ask("simplereenroll", again(server, key), certificate=server)
    assert answer.code == "est.certificate.elsewhere"
    foreign = est.foreign.issue(est.mint.clock.now(), names=(HOST,))
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=foreign, label="old-pki")
    assert answer.code == "est.certificate.unknown"


async def test_a_renewal_asks_for_what_the_certificate_has(est: Est) -> None:
    leaf, key = await enrolled(est)
    wishes = (
        request_of(key, HOST, "more.corp.example"),
        request_of(key, "other.corp.example"),
        request_of(key),
        request_of(key, HOST, subject=x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp")])),
    )
    for csr in wishes:
        answer = await est.ask("simplereenroll", csr, certificate=leaf)
        assert (answer.status, answer.code) == (400, "est.renewal.differs")
    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    builder = x509.CertificateSigningRequestBuilder().subject_name(leaf.subject).add_extension(held, False)
    builder = builder.add_attribute(x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36"), b"another")
    csr = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert (await est.ask("simplereenroll", csr, certificate=leaf)).code == "est.renewal.differs"


async def test_a_client_may_renew_with_the_request_that_it_began_with(est: Est) -> None:
    # The profile has no subject, so the common name of the request went nowhere; the client knows no better.
    leaf, key = await enrolled(est, common_name=HOST)
    assert not leaf.subject.rdns
    csr = request_of(key, HOST, common_name=HOST)
    first = (await est.ask("simplereenroll", csr, certificate=leaf)).leaf
    assert (await est.ask("simplereenroll", request_of(key, HOST, common_name=HOST), certificate=first)).status == 200
    other = request_of(key, HOST, common_name="other.corp.example")
    assert (await est.ask("simplereenroll", other, certificate=first)).code == "est.renewal.differs"


async def test_a_device_is_judged_by_what_is_known_now(est: Est) -> None:
    device = await est.device("printer-1")
    wanted = {"device_id": device.id, "rules": NameRules(), "vouches": False}
    leaf, key = await enrolled(est, label="wifi", name="printer-1.corp.example", **wanted)
    assert (await est.ask("simplereenroll", again(leaf, key), certificate=leaf, label="wifi")).status == 200
    await est.report("printer-1", posture__compliant=False, risk__score=90)
    fresh = ec.generate_private_key(ec.SECP256R1())
    answer = await est.ask("simplereenroll", again(leaf, fresh), certificate=leaf, label="wifi")
    assert (answer.status, answer.code) == (403, "enroll.refused")
    assert b"at high risk" in answer.body


async def test_a_quarantined_subject_may_still_ask_and_the_judge_decides(est: Est) -> None:
    device = await est.device("printer-1")
    wanted = {"device_id": device.id, "rules": NameRules(), "vouches": False}
    leaf, key = await enrolled(est, label="wifi", name="printer-1.corp.example", **wanted)
    await est.orders.hold_by_person(device.id, person="alice", reason="a look")
    of = await id_of(est, leaf)
    assert await est.mint.database.fetchval("SELECT status FROM certificate WHERE id = $1", of) == "held"
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf, label="wifi")
    assert (answer.status, answer.code) == (403, "enroll.refused")  # wifi-device has no quarantine profile to heal in
    # Held for another cause than its subject's standing, it is not heard at all.
    unit = Unit()
    now = est.mint.clock.now()
    revocation.hold(unit, revocation.OfCertificate(of), cause="admin:look", actor="admin:a", at=now)
    await est.mint.database.commit(unit)
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf, label="wifi")
    assert answer.code == "est.certificate.not_good"


async def test_a_revoked_or_expired_certificate_renews_nothing(est: Est) -> None:
    leaf, key = await enrolled(est)
    other, _ = await enrolled(est, name="b.corp.example")
    unit = Unit()
    of = revocation.OfCertificate(await id_of(est, leaf))
    revocation.revoke(unit, of, reason=1, actor="admin:test", at=est.mint.clock.now())
    await est.mint.database.commit(unit)
    assert (await est.ask("simplereenroll", again(leaf, key), certificate=leaf)).code == "est.certificate.not_good"
    est.mint.clock.advance(timedelta(days=60))
    answer = await est.ask("simplereenroll", again(other, ec.generate_private_key(ec.SECP256R1())), certificate=other)
    assert answer.code == "est.certificate.not_good"


async def test_an_enrolment_that_expired_ends_no_renewal_and_one_that_was_revoked_does(est: Est) -> None:
    leaf, key = await enrolled(est, seconds=60)
    est.mint.clock.advance(LATER)
    assert (await est.ask("simplereenroll", again(leaf, key), certificate=leaf)).status == 200
    enrolment = await est.mint.database.fetchval("SELECT enrolment_id FROM est_certificate LIMIT 1")
    closer = Closer(est.mint.database, est.mint.clock)
    assert await closer.living("enrolment", enrolment) == 2
    close = closer.enrolled_with_certificates
    await est.enrolling.enrolments.revoke(enrolment, by="admin:test", closing=[close])
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf)
    assert (answer.status, answer.code) == (401, "est.credential.refused")


async def test_orders_of_an_enrolment_are_counted_at_renewals_too(est: Est) -> None:
    leaf, key = await enrolled(est, most_orders=2)
    assert (await est.ask("simplereenroll", again(leaf, key), certificate=leaf)).status == 200
    fresh = ec.generate_private_key(ec.SECP256R1())
    answer = await est.ask("simplereenroll", again(leaf, fresh), certificate=leaf)
    assert answer.code == "enroll.enrolment.used_up"


async def test_a_label_takes_certificates_of_other_doors_only_where_it_says_so(est: Est) -> None:
    mint = est.mint
    key = ec.generate_private_key(ec.SECP256R1())
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    request = mint.request("elsewhere", profile="mutual-tls", spki=spki, names=(("dns", HOST),))
    leaf = x509.load_der_x509_certificate((await mint.gate.issue(request)).der)
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf)
    assert answer.code == "est.certificate.elsewhere"
    adopted = (await est.ask("simplereenroll", again(leaf, key), certificate=leaf, label="old-pki")).leaf
    assert (await est.ask("simplereenroll", again(adopted, key), certificate=adopted, label="old-pki")).status == 200
    # From there on it is that label's.
    assert (
        await est.ask("simplereenroll", again(adopted, key), certificate=adopted)
    ).code == "est.certificate.elsewhere"


async def test_a_certificate_of_a_named_profile_asks_for_a_first_one_of_another(est: Est) -> None:
    device = await est.device("printer-1")
    leaf, _ = await enrolled(est, name="printer-1.corp.example", device_id=device.id, rules=NameRules(), vouches=False)
    wifi = (await est.ask("simpleenroll", request_of(), certificate=leaf, label="wifi")).leaf
    assert "CN=printer-1" in wifi.subject.rfc4514_string()
    server, _ = await enrolled(est, label="servers")
    answer = await est.ask("simpleenroll", request_of(), certificate=server, label="wifi")
    assert answer.code == "est.certificate.elsewhere"


async def test_a_name_that_went_to_another_device_is_not_renewed(est: Est) -> None:
    from tests.support.est import DIRECTORY
    from troth.trust.subjects.directory_plan import Directory

    device = await est.device("printer-1")
    leaf, key = await enrolled(
        est, name="printer-1.corp.example", device_id=device.id, rules=NameRules(), vouches=False
    )
    directory = Directory(est.mint.database, est.mint.clock)
    moved = DIRECTORY.replace("    names: [printer-1.corp.example]\n", "").replace(
        "SN-0002}", "SN-0002, names: [printer-1.corp.example]}"
    )
    await directory.apply(await directory.plan(moved), actor="admin:test")
    answer = await est.ask("simplereenroll", again(leaf, key), certificate=leaf)
    assert (answer.status, answer.code) == (403, "est.names.unproved")


async def test_what_is_remembered_goes_when_it_is_of_no_use_any_more(est: Est) -> None:
    await enrolled(est)
    database = est.mint.database
    pruner = EstPruner(database, est.mint.clock, repeat=timedelta(hours=1))
    assert await pruner.run_once() == 0
    est.mint.clock.advance(timedelta(hours=2))
    assert await pruner.run_once() == 1
    assert await database.fetchval("SELECT count(*) FROM est_request") == 0
    assert await database.fetchval("SELECT count(*) FROM est_certificate") == 1
    est.mint.clock.advance(timedelta(days=60))
    await pruner.run_once()
    assert await database.fetchval("SELECT count(*) FROM est_certificate") == 0
