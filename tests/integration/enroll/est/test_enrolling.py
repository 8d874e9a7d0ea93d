"""First certificates by EST: who gets one, for which names, and what becomes of the same request sent again."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.est import Est, request_of
from tests.support.refusals import FENCE, told_without_a_traceback
from troth.enroll.credentials.model import NameRules

HOST = "host-1.corp.example"
_WAITING = """
policy: wifi-device
description: Compliant devices; while nobody knows, they wait.
profiles: [wifi-device]
rules:
  - rule: compliant
    require:
      compliant: {check: posture.compliant, fix: Let the device sync.}
    then: allow
    else: deny
    unknown: deny
"""


def names(leaf: x509.Certificate) -> list[str]:
    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return held.get_values_for_type(x509.DNSName)


async def test_an_enrolment_that_vouches_brings_a_certificate_for_its_names(est: Est) -> None:
    user = await est.enrolment()
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await est.ask("simpleenroll", request_of(key, HOST), user=user)
    assert answer.leaf.public_key() == key.public_key()
    assert names(answer.leaf) == [HOST]
    assert answer.headers["content-transfer-encoding"] == "base64"
    assert answer.body.count(b"\n") == 1  # strongSwan 5.9.8 reads one line
    answer.leaf.verify_directly_issued_by(est.mint.issuer)
    row = await est.mint.database.fetchrow("SELECT actor, request_id FROM certificate WHERE state = 'issued'")
    assert row is not None
    assert row["actor"] == f"est:enrolment:{user[0]}"
    snapshot = await est.mint.database.fetchval("SELECT snapshot FROM decision ORDER BY id DESC LIMIT 1")
    values = {one["path"]: one["value"] for one in msgspec.json.decode(snapshot)["values"]}
    assert values["evidence.controlled_names"] == [HOST]


async def test_a_name_in_the_subject_alone_counts_as_asked_for(est: Est) -> None:
    user = await est.enrolment()
    assert names((await est.ask("simpleenroll", request_of(None, common_name=HOST), user=user)).leaf) == [HOST]


@pytest.mark.parametrize("kind", ["directory", "client-identifier"])
async def test_the_other_kinds_of_enrolment_are_passwords_too(est: Est, kind: str) -> None:
    device = await est.device("printer-1")
    key_id, secret = await est.enrolment(kind=kind, device_id=device.id, rules=NameRules(), vouches=False)
    for user in ("", "anybody", key_id):
        answer = await est.ask("simpleenroll", request_of(None, "printer-1.corp.example"), user=(user, secret))
        once = kind == "client-identifier" and user != ""
        assert (answer.status, answer.code) == ((403, "enroll.enrolment.used_up") if once else (200, None))


async def test_a_secret_that_is_not_known_opens_nothing(est: Est) -> None:
    key_id, secret = await est.enrolment()
    other = (await est.enrolment())[0]
    for user in ((key_id, "wrong"), (key_id, secret + "x"), (other, secret), ("no-id", secret), ("", "")):
        answer = await est.ask("simpleenroll", request_of(None, HOST), user=user)
        assert (answer.status, answer.code) == (401, "est.credential.refused"), user
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert b"Code: est.credential.refused" in answer.body
    answer = await est.ask("simpleenroll", request_of(None, HOST))
    assert (answer.status, answer.code) == (401, "est.not_authenticated")
    for header in ("Bearer x", "Basic !!!", "Basic " + "A" * 5000, "Basic " + base64.b64encode(b"nocolon").decode()):
        assert (await est.ask("simpleenroll", request_of(None, HOST), authorization=header)).status == 401


async def test_a_revoked_or_expired_enrolment_brings_nothing_new(est: Est) -> None:
    revoked, expired = await est.enrolment(), await est.enrolment(seconds=60)
    der = request_of(None, HOST)
    assert (await est.ask("simpleenroll", der, user=expired)).status == 200
    await est.enrolling.enrolments.revoke(UUID(revoked[0]), by="admin:test", closing=[])
    assert (await est.ask("simpleenroll", der, user=revoked)).code == "est.credential.refused"
    est.mint.clock.advance(timedelta(minutes=2))
    assert (await est.ask("simpleenroll", request_of(None, HOST), user=expired)).code == "enroll.enrolment.closed"
    # What it was given before is given again: the answer may have been lost.
    assert (await est.ask("simpleenroll", der, user=expired)).status == 200


async def test_an_enrolment_is_good_where_it_says(est: Est) -> None:
    elsewhere = await est.enrolment(directories=("est:servers",))
    profile = await est.enrolment(profiles=("client-device",))
    acme, everywhere = await est.enrolment(directories=("tls-server",)), await est.enrolment(directories=())
    for user in (elsewhere, profile, acme, everywhere):
        assert (await est.ask("simpleenroll", request_of(None, HOST), user=user)).code == "est.credential.elsewhere"
    answer = await est.ask("simpleenroll", request_of(None, HOST), user=elsewhere, label="servers")
    usage = answer.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


async def test_names_that_nobody_vouches_for_are_refused(est: Est) -> None:
    vouching, silent = await est.enrolment(), await est.enrolment(vouches=False)
    for user, name in ((vouching, "host.other.example"), (silent, HOST)):
        answer = await est.ask("simpleenroll", request_of(None, name), user=user)
        assert (answer.status, answer.code) == (403, "est.names.unproved")
        assert name.encode() in answer.body
    # A kind of name that the profile does not take is not dropped in silence.
    mail = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.RFC822Name("root@corp.example")])
    answer = await est.ask("simpleenroll", request_of(None, extensions=[mail]), user=vouching)
    assert answer.code == "est.names.unproved"


async def test_a_device_gets_what_the_directory_says_of_it_and_no_name_of_another(est: Est) -> None:
    device = await est.device("printer-1")
    user = await est.enrolment(device_id=device.id, rules=NameRules(), vouches=False)
    csr = request_of(None, "printer-1.corp.example", "printer-2.corp.example", common_name="root")
    leaf = (await est.ask("simpleenroll", csr, user=user, label="wifi")).leaf
    assert leaf.subject.rfc4514_string() == "2.5.4.5=SN-0001,CN=printer-1"
    assert names(leaf) == ["printer-1.corp.example"]  # the other is nobody's word
    bound = await est.mint.database.fetchval("SELECT subject_id FROM certificate_subject WHERE role = 'subject'")
    assert bound == device.id
    # Where names are refused and not ignored, the stranger's name is refused.
    answer = await est.ask("simpleenroll", csr, user=user)
    assert (answer.code, b"printer-2.corp.example" in answer.body) == ("est.names.unproved", True)


async def test_a_request_widens_nothing(est: Est) -> None:
    user = await est.enrolment()
    authority = request_of(None, HOST, extensions=[x509.BasicConstraints(True, None)])
    assert (await est.ask("simpleenroll", authority, user=user)).code == "pki.csr.ca_requested"
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    leaf = (await est.ask("simpleenroll", request_of(None, HOST, extensions=[usage]), user=user)).leaf
    held = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert held == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


async def test_possession_of_the_key_is_always_proved(est: Est) -> None:
    der = bytearray(request_of(None, HOST))
    der[-1] ^= 1
    answer = await est.ask("simpleenroll", bytes(der), user=await est.enrolment())
    assert (answer.status, answer.code) == (400, "pki.csr.signature")


async def test_the_same_request_is_given_the_same_certificate_within_the_window(est: Est) -> None:
    user, der = await est.enrolment(most_orders=2), request_of(None, HOST)
    first = (await est.ask("simpleenroll", der, user=user)).leaf
    assert (await est.ask("simpleenroll", der, user=user)).leaf == first
    assert await est.mint.database.fetchval("SELECT orders FROM enrolment") == 1
    other = await est.ask("simpleenroll", der, user=await est.enrolment())  # another client
    assert other.leaf != first
    est.mint.clock.advance(timedelta(hours=2))
    anew = await est.ask("simpleenroll", der, user=(await est.enrolment(seconds=86_400)))
    assert anew.leaf.serial_number not in (first.serial_number, other.leaf.serial_number)


async def test_after_the_window_the_same_request_is_judged_and_answered_anew(est: Est) -> None:
    user, der = await est.enrolment(seconds=86_400, most_orders=2), request_of(None, HOST)
    first = (await est.ask("simpleenroll", der, user=user)).leaf
    est.mint.clock.advance(timedelta(hours=2))
    second = (await est.ask("simpleenroll", der, user=user)).leaf
    assert first.serial_number != second.serial_number
    est.mint.clock.advance(timedelta(hours=2))
    assert (await est.ask("simpleenroll", der, user=user)).code == "enroll.enrolment.used_up"


async def test_a_certificate_that_was_revoked_is_not_handed_out_again(est: Est) -> None:
    from troth.pki import revocation
    from troth.store.unit import Unit

    user, der = await est.enrolment(), request_of(None, HOST)
    first = (await est.ask("simpleenroll", der, user=user)).leaf
    of = await est.mint.database.fetchval("SELECT id FROM certificate WHERE state = 'issued'")
    unit = Unit()
    revocation.revoke(unit, revocation.OfCertificate(of), reason=4, actor="admin:test", at=est.mint.clock.now())
    await est.mint.database.commit(unit)
    assert (await est.ask("simpleenroll", der, user=user)).leaf != first


async def test_the_same_request_at_once_comes_to_one_certificate(est: Est) -> None:
    user, der = await est.enrolment(), request_of(None, HOST)
    answers = await asyncio.gather(*(est.ask("simpleenroll", der, user=user) for _ in range(8)))
    waiting = [one for one in answers if one.status == 202]
    assert all(one.headers["retry-after"] == "1" and one.code == "est.pending" for one in waiting)
    given = {one.leaf.public_bytes(Encoding.DER) for one in answers if one.status == 200}
    given.add((await est.ask("simpleenroll", der, user=user)).leaf.public_bytes(Encoding.DER))
    assert len(given) == 1
    assert await est.mint.database.fetchval("SELECT count(*) FROM certificate") == 1


async def test_a_try_that_failed_at_the_signer_is_made_anew(est: Est) -> None:
    from troth.pki.signer.errors import UNAVAILABLE, SignerUnavailable

    user, der = await est.enrolment(), request_of(None, HOST)
    est.mint.signer.fail = SignerUnavailable(UNAVAILABLE, "down")
    answer = await est.ask("simpleenroll", der, user=user)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "est.unavailable", "30")
    assert b"down" not in answer.body
    assert (await est.ask("simpleenroll", der, user=user)).status == 200


async def test_a_fenced_installation_refuses_and_the_log_has_no_failure(est: Est) -> None:
    user, der = await est.enrolment(), request_of(None, HOST)
    est.mint.interlock.refusal = FENCE
    with told_without_a_traceback("est.refused"):
        answer = await est.ask("simpleenroll", der, user=user)
    assert answer.status == 503


async def test_while_it_is_signed_the_same_request_waits_and_after_a_kill_it_is_made_anew(
    est: Est, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, der = await est.enrolment(most_orders=2), request_of(None, HOST)
    signing, go = asyncio.Event(), asyncio.Event()
    certify = est.mint.signer.certify

    async def slowly(key_id: str, tbs: bytes, reservation: UUID) -> bytes:
        signing.set()
        await go.wait()
        return await certify(key_id, tbs, reservation)

    monkeypatch.setattr(est.mint.signer, "certify", slowly)
    first = asyncio.create_task(est.ask("simpleenroll", der, user=user))
    await asyncio.wait_for(signing.wait(), 120)
    again = await est.ask("simpleenroll", der, user=user)
    assert (again.status, again.code, again.headers["retry-after"]) == (202, "est.pending", "1")
    first.cancel()  # the process dies: what it had reserved is burnt, and counted
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    async with asyncio.timeout(120):
        while await est.mint.database.fetchval("SELECT state FROM certificate") != "burnt":
            await asyncio.sleep(0)
    assert (await est.ask("simpleenroll", der, user=user)).status == 200


async def test_what_policy_cannot_know_yet_is_202_and_the_same_request_gets_it_later(est: Est) -> None:
    from troth.trust.authoring.service import PolicyService

    service = PolicyService(est.mint.database, est.mint.clock)
    await service.apply(await service.plan(_WAITING), actor="admin:test")
    await est.policies.refresh()
    device = await est.device("printer-2")
    user = await est.enrolment(device_id=device.id, rules=NameRules(), vouches=False)
    der = request_of()
    answer = await est.ask("simpleenroll", der, user=user, label="wifi")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (202, "est.pending", "60")
    assert b"Nothing has been refused" in answer.body or b"nothing has been refused" in answer.body
    await est.report("printer-2", posture__compliant=True)
    assert (await est.ask("simpleenroll", der, user=user, label="wifi")).status == 200
    await est.report("printer-2", posture__compliant=False)
    answer = await est.ask("simpleenroll", request_of(), user=user, label="wifi")
    assert (answer.status, answer.code) == (403, "enroll.refused")


async def test_a_person_lets_a_device_in_by_a_word_of_the_directory(est: Est) -> None:
    import re
    from pathlib import Path

    from tests.support.est import DIRECTORY
    from troth.trust.authoring.service import PolicyService
    from troth.trust.subjects.directory_plan import Directory

    page = (Path(__file__).parents[4] / "docs" / "est.md").read_text()
    [policy] = re.findall(r"```yaml\n(policy: wifi-device\n.*?)```", page, re.DOTALL)
    service = PolicyService(est.mint.database, est.mint.clock)
    await service.apply(await service.plan(policy), actor="admin:test")
    await est.policies.refresh()
    device = await est.device("printer-1")
    user = await est.enrolment(device_id=device.id, rules=NameRules(), vouches=False)
    der, directory = request_of(), Directory(est.mint.database, est.mint.clock)
    assert (await est.ask("simpleenroll", der, user=user, label="wifi")).status == 202
    for said, status in (("false", 403), ("true", 200)):
        word = f"    serial: SN-0001\n    attributes: {{enrolment_approved: {said}}}\n"
        text = DIRECTORY.replace("    serial: SN-0001\n", word)
        await directory.apply(await directory.plan(text), actor="admin:test")
        assert (await est.ask("simpleenroll", der, user=user, label="wifi")).status == status


async def test_what_policy_leaves_to_a_person_waits_and_is_given_once_it_is_approved(est: Est) -> None:
    from troth.access.approvals.store import SET_STATE
    from troth.store.unit import Unit
    from troth.trust.authoring.service import PolicyService

    database, clock = est.mint.database, est.mint.clock
    policy = _WAITING.replace("then: allow", "then: {allow: {approval: 24h}}")
    service = PolicyService(database, clock)
    await service.apply(await service.plan(policy), actor="admin:test")
    await est.policies.refresh()
    device = await est.device("printer-1")
    user = await est.enrolment(device_id=device.id, rules=NameRules(), vouches=False)
    der = request_of()
    for _ in range(2):
        answer = await est.ask("simpleenroll", der, user=user, label="wifi")
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (202, "est.pending", "60")
        assert b"a person must approve it first" in answer.body
    [proposal] = await database.fetch("SELECT id, kind, words, actor FROM proposal")
    assert (proposal["kind"], proposal["actor"]) == ("issuance.approve", f"est:enrolment:{user[0]}")
    assert "device:printer-1" in proposal["words"]
    done = Unit().write(SET_STATE, proposal["id"], "executed", clock.now(), "admin:ben", "")
    await database.commit(done)
    leaf = (await est.ask("simpleenroll", der, user=user, label="wifi")).leaf
    assert (await est.ask("simpleenroll", der, user=user, label="wifi")).leaf == leaf
    # One yes is good for one certificate.
    assert (await est.ask("simpleenroll", request_of(), user=user, label="wifi")).status == 202


async def test_a_refusal_names_the_decision(est: Est) -> None:
    device = await est.device("printer-2")  # nobody manages it
    user = await est.enrolment(device_id=device.id, rules=NameRules(), vouches=False)
    answer = await est.ask("simpleenroll", request_of(), user=user, label="wifi")
    assert (answer.status, answer.code) == (403, "enroll.refused")
    assert b"This is not a managed device of the directory." in answer.body


async def test_limits_of_an_enrolment_and_of_a_network(est: Est) -> None:
    user = await est.enrolment()
    for number in range(30):
        assert (await est.ask("simpleenroll", request_of(None, f"h{number}.corp.example"), user=user)).status == 200
    answer = await est.ask("simpleenroll", request_of(None, HOST), user=user)
    assert (answer.status, answer.code) == (429, "acme.rate_limited")
    assert int(answer.headers["retry-after"]) > 0
    codes = [(await est.ask("simpleenroll", request_of(None, HOST), user=("x", "y"))).code for _ in range(40)]
    assert codes[-1] == "est.too_many"
    assert codes.index("est.too_many") == 29  # 60 a minute, 31 are spent
    est.mint.clock.advance(timedelta(minutes=1))
    assert (await est.ask("simpleenroll", request_of(None, HOST), user=("x", "y"))).code == "est.credential.refused"


async def test_a_foreign_certificate_of_an_anchor_stands_for_the_device_with_its_serial_number(est: Est) -> None:
    now = est.mint.clock.now()
    known, unknown = est.foreign.issue(now, serial="SN-0001"), est.foreign.issue(now, serial="SN-9999")
    answer = await est.ask("simpleenroll", request_of(), label="wifi", certificate=known, chain=(est.foreign.root,))
    assert "CN=printer-1" in answer.leaf.subject.rfc4514_string()
    answer = await est.ask("simpleenroll", request_of(), label="wifi", certificate=unknown, chain=(est.foreign.root,))
    assert (answer.status, answer.code) == (403, "est.bootstrap.unknown")
    # At a label that takes none, and with a purpose that is another, it is worth nothing.
    answer = await est.ask("simpleenroll", request_of(), certificate=known, chain=(est.foreign.root,))
    assert answer.code == "est.certificate.unknown"
    mail = est.foreign.issue(now, serial="SN-0001", usage=ExtendedKeyUsageOID.EMAIL_PROTECTION)
    answer = await est.ask("simpleenroll", request_of(), label="wifi", certificate=mail, chain=(est.foreign.root,))
    assert answer.code == "est.certificate.unknown"


async def test_the_names_of_a_certificate_of_the_former_pki_are_taken_as_proved(est: Est) -> None:
    old = est.foreign.issue(est.mint.clock.now(), names=(HOST,), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    answer = await est.ask("simpleenroll", request_of(None, HOST), label="old-pki", certificate=old)
    assert names(answer.leaf) == [HOST]
    answer = await est.ask("simpleenroll", request_of(None, HOST, "b.corp.example"), label="old-pki", certificate=old)
    assert answer.code == "est.names.unproved"


async def test_an_anchor_that_was_removed_vouches_no_more(est: Est) -> None:
    from troth.pki.anchor_store import AnchorStore
    from troth.pki.anchors import remove_anchor
    from troth.store.unit import Unit

    [anchor] = await AnchorStore(est.mint.database).all()
    await est.mint.database.commit(remove_anchor(Unit(), anchor, actor="admin:test"))
    device = est.foreign.issue(est.mint.clock.now(), serial="SN-0001")
    answer = await est.ask("simpleenroll", request_of(), label="wifi", certificate=device)
    assert answer.code == "est.certificate.unknown"


async def test_a_stolen_authority_key_admits_nobody(est: Est) -> None:
    from tests.support.est import Foreign
    from troth.pki.anchors import add_anchor, read_anchor
    from troth.store.unit import Unit

    thief = Foreign(est.mint.signer.keys["issuing-key"], est.mint.issuer)
    forged = thief.issue(est.mint.clock.now(), serial="SN-0001", names=("printer-1.corp.example",))
    chain = (est.mint.issuer, est.mint.root)
    for label in ("wifi", "old-pki", "mutual-tls"):
        answer = await est.ask("simpleenroll", request_of(), label=label, certificate=forged, chain=chain)
        assert (answer.status, answer.code) == (403, "est.certificate.unknown")
    # Not even where somebody has made an anchor of our own root.
    root = est.mint.root.public_bytes(Encoding.DER)
    anchor = read_anchor(root, ["clientAuth"], "admin:test", est.mint.clock.now())
    await est.mint.database.commit(add_anchor(Unit(), anchor))
    answer = await est.ask("simpleenroll", request_of(), label="wifi", certificate=forged, chain=chain)
    assert answer.code == "est.certificate.unknown"
    answer = await est.ask("simplereenroll", request_of(), certificate=forged, chain=chain)
    assert answer.code == "est.certificate.unknown"
