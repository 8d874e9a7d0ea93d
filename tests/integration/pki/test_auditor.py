"""The auditor sees, from the stored bytes alone, whatever somebody has changed in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.mint import Mint
from troth.kit.ids import new_id
from troth.pki import auditor
from troth.pki.auditor import Auditor
from troth.pki.finding_store import FindingStore
from troth.pki.revocation import OfCertificate, revoke
from troth.store.unit import Unit

_KINDS = "SELECT count(*) FROM ledger_inbox WHERE convert_from(payload, 'UTF8') LIKE '%certificate.audit_finding%'"


async def nothing_known(_: Sequence[UUID]) -> set[UUID]:
    return set()


def auditor_of(mint: Mint) -> Auditor:
    return Auditor(mint.database, mint.catalogue, mint.clock, nothing_known)


async def codes(mint: Mint) -> set[str]:
    return {one.code for one in await FindingStore(mint.database).listed()}


async def test_what_the_gate_has_issued_is_without_findings(mint: Mint) -> None:
    held = await mint.gate.issue(mint.request())
    await mint.gate.issue(mint.request("other"))
    now = mint.clock.now()
    await mint.database.commit(revoke(Unit(), OfCertificate(held.id), reason=4, actor="test:audit", at=now))
    walked = await auditor_of(mint).run_whole()
    assert (walked.looked, walked.found) == (2, 0)
    assert not await codes(mint)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("sha256 = '\\x00'", "audit.digest"),
        ("serial = '\\x0102'", "audit.serial"),
        ("not_after = not_after + interval '1 day'", "audit.validity"),
        ("""names = '[["dns", "b.example"]]'""", "audit.names"),
        ("""subject = '[["commonName", "b.example"]]'""", "audit.subject"),
        ("spki_sha256 = '\\x00'", "audit.key"),
        ("authority = 'root'", "audit.issuer"),
        ("status = 'revoked', revocation_reason = 4, crl_entry = '\\x3000'", "audit.status"),
        ("profile_version = 77", "audit.profile"),
        ("profile = 'ocsp-responder'", "audit.extensions"),
        ("actor = 'acme:somebody'", "audit.decision"),
        ("der = '\\x3000'", "audit.unparsable"),
    ],
)
async def test_a_changed_row_is_found(mint: Mint, change: str, code: str) -> None:
    await mint.gate.issue(mint.request())
    await mint.database.fetch(f"UPDATE certificate SET {change}")
    assert (await auditor_of(mint).run_whole()).found == 1
    assert code in await codes(mint)


async def test_a_good_certificate_for_a_blocked_key_is_found(mint: Mint) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    await mint.gate.issue(mint.request(spki=spki))
    await mint.database.fetch(
        "INSERT INTO blocked_key (spki_sha256, reason, source, at, actor)"
        " SELECT spki_sha256, 'weak', 'operator', now(), 'test:audit' FROM certificate"
    )
    await auditor_of(mint).run_whole()
    assert await codes(mint) == {"audit.blocked_key"}


async def test_a_decision_that_is_gone_is_found(mint: Mint) -> None:
    await mint.gate.issue(mint.request(decision_id=new_id()))
    await auditor_of(mint).run_whole()
    assert await codes(mint) == {"audit.decision"}


async def test_a_finding_is_told_once_and_cleared_when_it_is_mended(mint: Mint) -> None:
    await mint.gate.issue(mint.request())
    await mint.database.fetch("UPDATE certificate SET actor = 'acme:somebody'")
    for _ in range(2):
        mint.clock.advance(timedelta(hours=1))
        await auditor_of(mint).run_whole()
    assert await mint.database.fetchval(_KINDS) == 1
    await mint.database.fetch("UPDATE certificate SET actor = 'test:mint'")
    mint.clock.advance(timedelta(hours=1))
    await auditor_of(mint).run_whole()
    assert not await codes(mint)
    kept = await FindingStore(mint.database).listed(cleared=True)
    assert [one.cleared_at for one in kept] == [mint.clock.now()]


async def test_a_walk_goes_on_where_it_was_and_begins_again_a_day_after_its_end(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "BATCH", 2)
    for n in range(3):
        await mint.gate.issue(mint.request(f"request-{n}"))
    assert (await auditor_of(mint).run_once()).looked == 2
    walked = await auditor_of(mint).run_once()
    assert (walked.looked, walked.whole) == (1, True)
    assert (await auditor_of(mint).run_once()).looked == 0
    mint.clock.advance(timedelta(days=1, seconds=1))
    assert (await auditor_of(mint).run_once()).looked == 2
