"""Holds, releases, revocations, CRLs, responders and the catalogue on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.mint import Mint
from troth.kit.ids import new_id
from troth.pki.crl import CrlPublisher
from troth.pki.crl_import import import_crl
from troth.pki.crl_store import CrlStore
from troth.pki.errors import CrlRefused, LintRefused, ProfileRefused, RevocationRefused
from troth.pki.model import Binding, CertificateRecord
from troth.pki.profile import shipped_profiles
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, OfSubject, hold, release, revoke
from troth.pki.store import CertificateStore
from troth.store.unit import Unit


async def _issue(mint: Mint, name: str = "r", profile: str = "tls-server", subject: UUID | None = None) -> UUID:
    bindings = () if subject is None else (Binding(subject),)
    return (await mint.gate.issue(mint.request(name, profile=profile, subjects=bindings))).id


async def _row(mint: Mint, certificate_id: UUID) -> CertificateRecord:
    row = await CertificateStore(mint.database).by_id(certificate_id)
    assert row is not None
    return row


async def _events(mint: Mint, certificate_id: UUID) -> list[dict[str, Any]]:
    rows = await mint.database.fetch("SELECT convert_from(payload, 'UTF8') AS payload FROM ledger_inbox ORDER BY id")
    events = [json.loads(row["payload"]) for row in rows]
    return [event for event in events if f"certificate:{certificate_id}" in event["subjects"]]


async def _hold(mint: Mint, target: OfCertificate | OfSubject, cause: str) -> None:
    await mint.database.commit(hold(Unit(), target, cause=cause, actor="feed:edr", at=mint.clock.now()))


async def _release(mint: Mint, target: OfCertificate | OfSubject, cause: str) -> None:
    await mint.database.commit(release(Unit(), target, cause=cause, actor="feed:edr", at=mint.clock.now()))


async def _revoke(mint: Mint, target: OfCertificate | OfSubject, reason: int) -> None:
    await mint.database.commit(revoke(Unit(), target, reason=reason, actor="admin:a", at=mint.clock.now()))


async def test_a_hold_ends_when_its_last_cause_is_cleared(mint: Mint) -> None:
    target = OfCertificate(await _issue(mint))
    began = mint.clock.now()
    await _hold(mint, target, "edr")
    mint.clock.advance(timedelta(minutes=1))
    await _hold(mint, target, "admin")
    await _hold(mint, target, "admin")
    row = await _row(mint, target.certificate_id)
    assert (row.status, row.status_at, row.status_version, row.revocation_reason) == ("held", began, 2, 6)
    assert [h.cause for h in await CertificateStore(mint.database).holds(row.id)] == ["edr", "admin"]
    await _release(mint, target, "edr")
    assert (await _row(mint, row.id)).status == "held"
    await _release(mint, target, "never raised")
    await _release(mint, target, "admin")
    row = await _row(mint, row.id)
    assert (row.status, row.status_at, row.status_version, row.revocation_reason) == ("good", mint.clock.now(), 4, None)
    events = await _events(mint, row.id)
    assert [event["kind"] for event in events[2:]] == [
        "certificate.held",
        "certificate.held",
        "certificate.cause_cleared",
        "certificate.released",
    ]
    assert [event["data"]["status_version"] for event in events] == [0, 0, 1, 2, 3, 4]
    assert events[-1]["data"]["status"] == "good"


async def test_a_hold_of_a_subject_covers_its_live_certificates_but_for_spared_profiles(mint: Mint) -> None:
    subject = new_id()
    first, second = await _issue(mint, "1", subject=subject), await _issue(mint, "2", "client-device", subject)
    healing = await _issue(mint, "3", "quarantine", subject)
    other = await _issue(mint, "4", subject=new_id())
    unit = hold(Unit(), OfSubject(subject), cause="edr", actor="feed:edr", at=mint.clock.now(), sparing={"quarantine"})
    await mint.database.commit(unit)
    found = [(await _row(mint, certificate_id)).status for certificate_id in (first, second, healing, other)]
    assert found == ["held", "held", "good", "good"]
    mint.clock.advance(timedelta(days=31))
    await _release(mint, OfSubject(subject), "edr")
    assert (await _row(mint, first)).status == "held", "an expired certificate is left as it was"


async def test_a_revocation_keeps_the_holds_date_and_outlasts_its_causes(mint: Mint) -> None:
    target = OfCertificate(await _issue(mint))
    began = mint.clock.now()
    await _hold(mint, target, "edr")
    mint.clock.advance(timedelta(minutes=1))
    await _revoke(mint, target, 4)
    await _release(mint, target, "edr")
    await _hold(mint, target, "edr")
    row = await _row(mint, target.certificate_id)
    assert (row.status, row.status_at, row.revocation_reason) == ("revoked", began, 4)


async def test_only_keycompromise_changes_a_revocation_and_the_date_stays(mint: Mint) -> None:
    subject = new_id()
    target = OfCertificate(await _issue(mint, subject=subject))
    began = mint.clock.now()
    await _revoke(mint, target, 4)
    mint.clock.advance(timedelta(minutes=1))
    with pytest.raises(RevocationRefused) as caught:
        await _revoke(mint, target, 5)
    assert caught.value.code == "pki.certificate.already_revoked"
    await _revoke(mint, OfSubject(subject), 5)
    assert (await _row(mint, target.certificate_id)).revocation_reason == 4
    await _revoke(mint, target, 1)
    row = await _row(mint, target.certificate_id)
    assert (row.revocation_reason, row.status_at, row.status_version) == (1, began, 2)
    with pytest.raises(RevocationRefused):
        await _revoke(mint, target, 1)


@pytest.mark.parametrize("reason", [-1, 2, 6, 7, 8, 10, 99])
async def test_reasons_that_nobody_may_choose_are_refused(reason: int) -> None:
    with pytest.raises(RevocationRefused):
        revoke(Unit(), OfCertificate(new_id()), reason=reason, actor="a", at=None)  # type: ignore[arg-type]


async def test_an_unknown_certificate_refuses_the_unit(mint: Mint) -> None:
    with pytest.raises(RevocationRefused) as caught:
        await _hold(mint, OfCertificate(new_id()), "x")
    assert caught.value.code == "pki.certificate.unknown"


async def test_changes_of_one_certificate_in_one_unit_build_on_each_other(mint: Mint) -> None:
    subject = new_id()
    target = OfCertificate(await _issue(mint, subject=subject))
    unit, at = Unit(), mint.clock.now()
    hold(unit, target, cause="a", actor="x", at=at)
    hold(unit, OfSubject(subject), cause="b", actor="x", at=at)
    release(unit, target, cause="a", actor="x", at=at)
    await mint.database.commit(unit)
    row = await _row(mint, target.certificate_id)
    assert (row.status, row.status_version) == ("held", 3)
    assert [h.cause for h in await CertificateStore(mint.database).holds(row.id)] == ["b"]
    unit = hold(Unit(), target, cause="c", actor="x", at=at)
    await mint.database.commit(revoke(unit, target, reason=1, actor="x", at=at))
    assert await CertificateStore(mint.database).holds(row.id) == []


async def test_many_changes_at_once_lose_none(mint: Mint) -> None:
    target = OfCertificate(await _issue(mint))
    await asyncio.gather(*(_hold(mint, target, f"cause-{i}") for i in range(20)))
    row = await _row(mint, target.certificate_id)
    assert row.status_version == 20
    await asyncio.gather(*(_release(mint, target, f"cause-{i}") for i in range(20)))
    row = await _row(mint, target.certificate_id)
    assert (row.status, row.status_version) == ("good", 40)


def _publisher(mint: Mint) -> CrlPublisher:
    return CrlPublisher(mint.database, mint.signer, mint.catalogue, mint.interlock, mint.clock)


async def test_a_crl_shows_held_revoked_and_burnt(mint: Mint) -> None:
    held, revoked, _good = await _issue(mint, "1"), await _issue(mint, "2"), await _issue(mint, "3")
    mint.signer.fail = ConnectionError()
    with pytest.raises(ConnectionError):
        await _issue(mint, "4")
    await _hold(mint, OfCertificate(held), "edr")
    await _revoke(mint, OfCertificate(revoked), 0)
    publisher = _publisher(mint)
    assert await publisher.due("issuing")
    made = await publisher.publish("issuing")
    assert not await publisher.due("issuing")
    parsed = x509.load_der_x509_crl(made.der)
    key = mint.issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert parsed.is_signature_valid(key)
    shown = {
        entry.serial_number: [e.value.reason.value for e in entry.extensions if isinstance(e.value, x509.CRLReason)]
        for entry in parsed
    }
    burnt = await CertificateStore(mint.database).by_request("4")
    assert burnt is not None
    assert shown == {
        int.from_bytes((await _row(mint, held)).serial, "big"): ["certificateHold"],
        int.from_bytes((await _row(mint, revoked)).serial, "big"): [],
        int.from_bytes(burnt.serial, "big"): ["cessationOfOperation"],
    }
    assert await CrlStore(mint.database).newest("issuing") == made


async def test_crl_numbers_only_grow(mint: Mint) -> None:
    publisher = _publisher(mint)
    numbers = [(await publisher.publish("issuing")).number for _ in range(7)]
    assert numbers == sorted(set(numbers))
    mint.clock.set_wall(mint.clock.now() - timedelta(days=1))
    assert (await publisher.publish("issuing")).number > numbers[-1]
    assert await mint.database.fetchval("SELECT count(*) FROM crl_issue") == 5


async def test_an_expired_certificate_stays_for_one_more_crl(mint: Mint) -> None:
    await _revoke(mint, OfCertificate(await _issue(mint)), 1)
    publisher = _publisher(mint)
    counts = [(await publisher.publish("issuing")).entries]
    mint.clock.advance(timedelta(days=31))
    for _ in range(2):
        counts.append((await publisher.publish("issuing")).entries)
        mint.clock.advance(timedelta(hours=1))
    assert counts == [1, 1, 0]


@pytest.mark.chaos
async def test_a_crl_that_is_not_signed_rightly_is_not_published(mint: Mint) -> None:
    publisher = _publisher(mint)
    first = await publisher.publish("issuing")
    mint.signer.spoil = True
    with pytest.raises(CrlRefused):
        await publisher.publish("issuing")
    mint.signer.spoil = False
    mint.signer.fail = ConnectionError()
    with pytest.raises(ConnectionError):
        await publisher.publish("issuing")
    assert await CrlStore(mint.database).newest("issuing") == first
    assert (await publisher.publish("issuing")).number > first.number + 1


async def test_two_builders_at_once_never_publish_backwards(mint: Mint) -> None:
    publisher = _publisher(mint)
    made = await asyncio.gather(*(publisher.publish("issuing") for _ in range(6)), return_exceptions=True)
    done = [crl for crl in made if not isinstance(crl, BaseException)]
    assert done
    assert all(isinstance(crl, CrlRefused) for crl in made if isinstance(crl, BaseException))
    newest = await CrlStore(mint.database).newest("issuing")
    assert newest is not None
    assert newest.number == max(crl.number for crl in done)


async def test_an_offline_roots_crl_is_imported(mint: Mint) -> None:
    root = mint.catalogue.authority("root")
    foreign = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(CrlRefused):
        await import_crl(mint.database, root, _crl(mint, foreign), mint.clock)
    key = mint.root_key
    crl = await import_crl(mint.database, root, _crl(mint, key), mint.clock)
    assert await CrlStore(mint.database).newest("root") == crl
    with pytest.raises(CrlRefused):
        await import_crl(mint.database, root, _crl(mint, key), mint.clock)
    with pytest.raises(CrlRefused):
        await import_crl(mint.database, root, b"nonsense", mint.clock)


def _crl(mint: Mint, key: ec.EllipticCurvePrivateKey) -> bytes:
    now = mint.clock.now()
    builder = x509.CertificateRevocationListBuilder().issuer_name(mint.root.subject).last_update(now)
    builder = builder.next_update(now + timedelta(days=365)).add_extension(x509.CRLNumber(7), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


async def test_a_responder_renews_itself_at_half_of_its_life(mint: Mint) -> None:
    responders = Responders(mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock)
    assert await responders.current("issuing") is None
    first = await responders.ensure("issuing")
    certificate = x509.load_der_x509_certificate(first.certificate)
    certificate.verify_directly_issued_by(mint.issuer)
    assert isinstance(certificate.extensions.get_extension_for_class(x509.OCSPNoCheck).value, x509.OCSPNoCheck)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING]
    assert await responders.ensure("issuing") == first
    mint.clock.advance(timedelta(days=3.4))
    assert await responders.ensure("issuing") == first
    mint.clock.advance(timedelta(days=0.2))
    second = await responders.ensure("issuing")
    assert second.key_id != first.key_id
    assert await responders.current("issuing") == second


async def test_a_profile_applied_again_changes_nothing_and_a_changed_one_is_a_new_version(mint: Mint) -> None:
    document = shipped_profiles()["tls-server"]
    assert (await mint.catalogue.apply_profile(document + "\n", actor="admin:a")).version == 1
    changed = await mint.catalogue.apply_profile(document.replace("default: 30d", "default: 20d"), actor="admin:a")
    assert changed.version == 2
    issued = await mint.gate.issue(mint.request())
    assert issued.not_after - issued.not_before == timedelta(days=20, seconds=-1)
    assert (await _row(mint, issued.id)).profile_version == 2


async def test_a_profile_that_fails_lint_is_not_applied(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.pki.lint_full.findings_of", lambda *_: ["lint.serial"])
    document = shipped_profiles()["tls-server"].replace("default: 30d", "default: 20d")
    with pytest.raises(LintRefused):
        await mint.catalogue.apply_profile(document, actor="admin:a")
    assert mint.catalogue.profiles["tls-server"].version == 1
    with pytest.raises(ProfileRefused):
        mint.catalogue.template("issuing", "nobody")
