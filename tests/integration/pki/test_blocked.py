"""A key that somebody has proved to be no secret is never certified again, and what has it is revoked."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.mint import Mint
from troth.pki import blocked
from troth.pki.blocked import HOLDERS_JOB, PROOF_NAME, REVOKE_JOB, BlockedKeys, GivenKey, KeyRevoker
from troth.pki.blocked_store import BlockedStore
from troth.pki.errors import KEY_BLOCK_MANY, KEY_COMPROMISED, KEY_PROOF_WRONG, KeyRefused
from troth.store.jobs import JobQueue


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def proof(key: ec.EllipticCurvePrivateKey, name: str = PROOF_NAME) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


async def run_jobs(mint: Mint) -> int:
    jobs = await JobQueue(mint.database, mint.clock).claim([REVOKE_JOB], lease=timedelta(seconds=30))
    for job in jobs:
        await KeyRevoker(mint.database, mint.clock).run(job)
    return len(jobs)


async def test_a_proof_blocks_the_key_and_revokes_what_has_it(mint: Mint) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    mine = await mint.gate.issue(mint.request(spki=spki_of(key)))
    other = await mint.gate.issue(mint.request("other"))
    found = await BlockedKeys(mint.database, mint.clock).report(proof(key), actor="public:key-holder")
    assert (found.reason, found.source) == ("compromised", "proof")
    rows = await mint.database.fetch("SELECT id, status, revocation_reason FROM certificate WHERE state = 'issued'")
    assert {(r["id"], r["status"], r["revocation_reason"]) for r in rows} == {
        (mine.id, "revoked", 1),
        (other.id, "good", None),
    }
    with pytest.raises(KeyRefused) as refused:
        await mint.gate.issue(mint.request("again", spki=spki_of(key)))
    assert refused.value.reason is KEY_COMPROMISED


async def test_a_key_that_never_had_a_certificate_is_refused_once_it_is_blocked(mint: Mint) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    await BlockedKeys(mint.database, mint.clock).report(proof(key), actor="public:key-holder")
    with pytest.raises(KeyRefused):
        await mint.gate.issue(mint.request(spki=spki_of(key)))


async def test_a_request_made_in_order_to_enrol_proves_nothing(mint: Mint) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    keys = BlockedKeys(mint.database, mint.clock)
    sound = proof(key)
    broken = sound[:-1] + bytes([sound[-1] ^ 1])
    for data in (proof(key, "www.example.org"), broken):
        with pytest.raises(KeyRefused) as refused:
            await keys.report(data, actor="public:key-holder")
        assert refused.value.reason is KEY_PROOF_WRONG
    assert await BlockedStore(mint.database).count() == 0


async def test_more_certificates_than_one_batch_are_revoked_by_the_job(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "BATCH", 2)
    key = ec.generate_private_key(ec.SECP256R1())
    for n in range(5):
        await mint.gate.issue(mint.request(f"request-{n}", spki=spki_of(key)))
    keys = BlockedKeys(mint.database, mint.clock)
    found = await keys.report(proof(key), actor="public:key-holder")
    assert (await keys.uses(found.spki_sha256)).live == 3
    while (await keys.uses(found.spki_sha256)).live:
        assert await run_jobs(mint) == 1
    # A last look catches the reservation that was being committed meanwhile; then the job is done.
    assert await run_jobs(mint) == 1
    mint.clock.advance(timedelta(minutes=3))
    assert await run_jobs(mint) == 1
    mint.clock.advance(timedelta(minutes=3))
    assert await run_jobs(mint) == 0


async def test_the_same_proof_again_adds_nothing_to_the_ledger(mint: Mint) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    keys = BlockedKeys(mint.database, mint.clock)
    first = await keys.report(proof(key), actor="public:key-holder")
    mint.clock.advance(timedelta(hours=1))
    assert await keys.report(proof(key), actor="someone:else") == first
    told = "SELECT count(*) FROM ledger_inbox WHERE convert_from(payload, 'UTF8') LIKE '%key.blocked%'"
    assert await mint.database.fetchval(told) == 1
    jobs = {row["kind"] for row in await mint.database.fetch("SELECT kind FROM job")}
    assert {REVOKE_JOB, HOLDERS_JOB} <= jobs


async def test_a_person_must_confirm_how_many_certificates_a_block_hits(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "CONFIRM_ABOVE", 1)
    key = ec.generate_private_key(ec.SECP256R1())
    for n in range(2):
        await mint.gate.issue(mint.request(f"request-{n}", spki=spki_of(key)))
    given = GivenKey(None, hashlib.sha256(spki_of(key)).digest())
    keys = BlockedKeys(mint.database, mint.clock)
    with pytest.raises(KeyRefused) as refused:
        await keys.block(given, reason="weak", note="", actor="admin:alice", confirmed=None)
    assert refused.value.reason is KEY_BLOCK_MANY
    found = await keys.block(given, reason="weak", note="seen in a repository", actor="admin:alice", confirmed=2)
    assert (found.reason, found.source, found.spki) == ("weak", "operator", None)
    assert (await keys.uses(given.sha256)).live == 0
