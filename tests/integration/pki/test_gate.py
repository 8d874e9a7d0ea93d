"""The gate on a real PostgreSQL: each step made to fail in turn, and what is left afterwards."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from tests.integration.pki.test_issuers import added
from tests.support.mint import Mint, new_spki, sha256
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.pki.burn import Burner
from troth.pki.clockguard import ClockGuard
from troth.pki.errors import CLOCK_SKEW, LINT_REFUSED, ClockRefused, GateRefused, LintRefused, ProfileRefused
from troth.pki.issuer_classes import EVERY
from troth.pki.model import Binding, CertificateRecord, IssuedCertificate
from troth.pki.revocation import OfCertificate, OfSubject, hold, release, revoke
from troth.pki.store import CertificateStore
from troth.store.errors import CommitUnknown
from troth.store.statement import Guard, Write
from troth.store.unit import Unit

BROKEN = Write("test_broken", "INSERT INTO no_such_table SELECT * FROM unnest($1::int[])", ("int",))
NEVER = Guard("test_never", "SELECT i.n FROM unnest($1::int[], $2::int[]) AS i(n, x) WHERE false", ("int",))


async def _row(mint: Mint, request_id: str = "request-1") -> CertificateRecord:
    row = await CertificateStore(mint.database).by_request(request_id)
    assert row is not None
    return row


async def _kinds(mint: Mint) -> list[str]:
    rows = await mint.database.fetch(
        "SELECT convert_from(payload, 'UTF8')::jsonb ->> 'kind' AS kind FROM ledger_inbox ORDER BY id"
    )
    return [row["kind"] for row in rows if row["kind"].startswith("certificate.")]


async def _timelines(mint: Mint, kind: str) -> list[str]:
    """What the one event of ``kind`` is told of, without identifiers."""
    payload = await mint.database.fetchval(
        "SELECT text FROM (SELECT convert_from(payload, 'UTF8') AS text FROM ledger_inbox) AS said "
        "WHERE text::jsonb ->> 'kind' = $1",
        kind,
    )
    return [reference.partition(":")[0] for reference in json.loads(payload)["subjects"]]


async def test_an_issued_certificate_is_stored_verified_and_in_the_ledger(mint: Mint) -> None:
    subject = new_id()
    request = mint.request(subjects=(Binding(subject),), decision_id=new_id())
    issued = await mint.gate.issue(request)
    certificate = x509.load_der_x509_certificate(issued.der)
    certificate.verify_directly_issued_by(mint.issuer)
    assert certificate.serial_number == int.from_bytes(issued.serial, "big")
    assert issued.chain == (mint.issuer.public_bytes(Encoding.DER),)
    assert issued.sha256 == sha256(issued.der)
    row = await _row(mint)
    assert (row.state, row.status, row.der, row.tbs) == ("issued", "good", issued.der, None)
    assert row.names == (("dns", "a.example"),)
    assert await _kinds(mint) == ["certificate.reserved", "certificate.issued"]
    assert await _timelines(mint, "certificate.reserved") == ["certificate"]
    assert await _timelines(mint, "certificate.issued") == ["certificate", "authority", "subject", "decision"]
    store = CertificateStore(mint.database)
    assert await store.subjects(row.id) == [(subject, "subject")]
    assert [c.id for c in await store.of_subject(subject)] == [row.id]
    for found in (
        await store.by_id(row.id),
        await store.by_serial(row.serial),
        await store.by_sha256(issued.sha256),
        (await store.listed(name=".example")).certificates[0],
        (await store.listed(name="a.example")).certificates[0],
    ):
        assert found is not None
        assert found.id == row.id
    assert (await store.listed(name="b.example")).certificates == []


async def test_the_reserved_row_exists_before_anything_is_signed(mint: Mint) -> None:
    seen: list[str] = []
    sign = mint.signer.certify

    async def certify(key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        row = await _row(mint)
        seen.append(row.state)
        assert row.tbs == tbs
        assert row.id == reservation_id
        return await sign(key_id, tbs, row.id)

    mint.signer.certify = certify  # type: ignore[method-assign]
    await mint.gate.issue(mint.request())
    assert seen == ["reserved"]


async def test_one_request_id_yields_one_certificate(mint: Mint) -> None:
    request = mint.request()
    first = await mint.gate.issue(request)
    again = await mint.gate.issue(request)
    assert again == first
    assert len(mint.signer.certified) == 1
    with pytest.raises(GateRefused) as caught:
        await mint.gate.issue(mint.request(spki=new_spki()))
    assert caught.value.code == "pki.gate.request_reused"


async def test_a_request_repeated_across_a_rollover_gets_the_certificate_that_it_yielded(mint: Mint) -> None:
    request = mint.request()
    first = await mint.gate.issue(request)
    await added(mint, "second", *EVERY)
    again = await mint.gate.issue(replace(request, authority="second"))
    assert again == first
    assert (again.authority, len(mint.signer.certified)) == ("issuing", 1)
    with pytest.raises(GateRefused) as caught:
        await mint.gate.issue(replace(request, authority="second", spki=new_spki()))
    assert caught.value.code == "pki.gate.request_reused"


async def test_a_responder_that_the_full_lint_refuses_is_never_signed(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise LintRefused(LINT_REFUSED, "pkix.something")

    monkeypatch.setattr("troth.pki.gate.lint_tbs", refused)
    responder = mint.request("responder", profile="ocsp-responder", names=(), common_name="OCSP")
    with pytest.raises(LintRefused):
        await mint.gate.issue(responder)
    assert mint.signer.certified == []
    assert (await _row(mint, "responder")).state == "burnt"
    await mint.gate.issue(mint.request("leaf"))  # leaves have the fast assertions, and samples of them the full lint


async def test_fifty_at_once_on_one_request_id_make_one_certificate(mint: Mint) -> None:
    request = mint.request()
    answers = await asyncio.gather(*(mint.gate.issue(request) for _ in range(50)), return_exceptions=True)
    made = {answer.der for answer in answers if isinstance(answer, IssuedCertificate)}
    refused = {answer.code for answer in answers if isinstance(answer, TrothError)}
    assert len(made) == 1
    assert refused <= {"pki.gate.reserved"}
    assert len(answers) == len([a for a in answers if isinstance(a, (IssuedCertificate, TrothError))])
    assert len(mint.signer.certified) == 1
    assert await mint.database.fetchval("SELECT count(*) FROM certificate") == 1
    assert (await mint.gate.issue(request)).der in made


async def test_many_different_requests_at_once_all_succeed(mint: Mint) -> None:
    answers = await asyncio.gather(*(mint.gate.issue(mint.request(f"r{i}")) for i in range(60)))
    assert len({answer.serial for answer in answers}) == 60
    assert await mint.database.fetchval("SELECT count(*) FROM certificate WHERE state = 'issued'") == 60


async def test_nothing_is_written_when_the_request_does_not_fit(mint: Mint) -> None:
    with pytest.raises(ProfileRefused):
        await mint.gate.issue(mint.request(names=(("email", "a@b.example"),)))
    with pytest.raises(TrothError) as caught:
        await mint.gate.issue(mint.request(authority="nobody"))
    assert caught.value.code == "pki.authority.unknown"
    with pytest.raises(TrothError) as caught:
        await mint.gate.issue(mint.request(authority="root"))
    assert caught.value.code == "pki.authority.inactive"
    assert await mint.database.fetchval("SELECT count(*) FROM certificate") == 0
    assert mint.signer.certified == []


@pytest.mark.chaos
async def test_a_failing_reservation_leaves_nothing_and_signs_nothing(mint: Mint) -> None:
    with pytest.raises(Exception, match="no_such_table"):
        await mint.gate.issue(mint.request(), with_reserve=Unit().write(BROKEN, 1))
    refusal = ValueError("order is not ready")
    with pytest.raises(ValueError, match="order is not ready"):
        await mint.gate.issue(mint.request(), with_reserve=Unit().guard(NEVER, 1, refuse=refusal))
    assert await mint.database.fetchval("SELECT count(*) FROM certificate") == 0
    assert mint.signer.certified == []
    await mint.gate.issue(mint.request())


@pytest.mark.chaos
async def test_a_failing_lint_burns_the_serial(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.pki.lint.findings_of", lambda *_: ["lint.serial"])
    with pytest.raises(LintRefused):
        await mint.gate.issue(mint.request())
    await _burnt(mint)
    assert mint.signer.certified == []


@pytest.mark.chaos
async def test_a_failing_signer_burns_the_serial(mint: Mint) -> None:
    mint.signer.fail = ConnectionError("signer is gone")
    with pytest.raises(ConnectionError):
        await mint.gate.issue(mint.request())
    await _burnt(mint)


@pytest.mark.chaos
async def test_a_wrong_signature_is_never_stored(mint: Mint) -> None:
    mint.signer.spoil = True
    with pytest.raises(GateRefused) as caught:
        await mint.gate.issue(mint.request())
    assert caught.value.code == "pki.gate.signature_wrong"
    await _burnt(mint)


@pytest.mark.chaos
async def test_a_failing_store_burns_the_serial_and_answers_nobody(mint: Mint) -> None:
    with pytest.raises(Exception, match="no_such_table"):
        await mint.gate.issue(mint.request(), with_store=lambda _: Unit().write(BROKEN, 1))
    await _burnt(mint)
    with pytest.raises(GateRefused) as caught:
        await mint.gate.issue(mint.request(spki=new_spki()))
    assert caught.value.code == "pki.gate.request_reused"


@pytest.mark.chaos
async def test_a_failing_callers_guard_at_store_burns_the_serial(mint: Mint) -> None:
    refusal = ValueError("order was cancelled")
    with pytest.raises(ValueError, match="cancelled"):
        await mint.gate.issue(mint.request(), with_store=lambda _: Unit().guard(NEVER, 1, refuse=refusal))
    await _burnt(mint)


async def _burnt(mint: Mint) -> None:
    row = await _row(mint)
    assert (row.state, row.status, row.revocation_reason, row.der) == ("burnt", "revoked", 5, None)
    assert (await _kinds(mint))[-1] == "certificate.burnt"
    signed = len(mint.signer.certified)
    with pytest.raises(GateRefused):
        await mint.gate.issue(mint.request())
    assert len(mint.signer.certified) == signed


@pytest.mark.chaos
async def test_a_commit_of_unknown_outcome_at_store_is_looked_up(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    from troth.store.errors import COMMIT_UNKNOWN

    commit = mint.database.commit
    calls = 0

    async def losing(unit: Unit) -> None:
        nonlocal calls
        calls += 1
        await commit(unit)
        if calls == 2:
            raise CommitUnknown(COMMIT_UNKNOWN)

    monkeypatch.setattr(mint.database, "commit", losing)
    issued = await mint.gate.issue(mint.request())
    assert (await _row(mint)).der == issued.der


@pytest.mark.chaos
async def test_what_cannot_be_burnt_at_once_is_burnt_as_soon_as_the_database_is_back(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from troth.store.errors import UNAVAILABLE, Unavailable

    commit = mint.database.commit
    calls = 0

    async def away(unit: Unit) -> None:
        nonlocal calls
        calls += 1
        if calls in (2, 3, 4):  # the store, the burning, and its second try
            raise Unavailable(UNAVAILABLE)
        await commit(unit)

    monkeypatch.setattr(mint.database, "commit", away)
    monkeypatch.setattr("troth.pki.gate.BURN_PAUSES", (0.01, 0.01, 0.01))
    with pytest.raises(Unavailable):
        await mint.gate.issue(mint.request())
    await _comes_to(mint, "burnt")
    assert calls == 5


@pytest.mark.chaos
@pytest.mark.parametrize("at", [1, 2], ids=["reserve", "store"])
async def test_an_issuance_that_its_caller_gives_up_leaves_no_reservation(
    mint: Mint, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    commit = mint.database.commit
    calls = 0

    async def given_up(unit: Unit) -> None:
        nonlocal calls
        calls += 1
        committing = asyncio.create_task(commit(unit))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the pool has it in hand
        if calls == at:
            issuing.cancel()
        await committing

    monkeypatch.setattr(mint.database, "commit", given_up)
    monkeypatch.setattr("troth.pki.gate.BURN_PAUSES", (0.01,))
    issuing = asyncio.create_task(mint.gate.issue(mint.request()))
    with pytest.raises(asyncio.CancelledError):
        await issuing
    # The pool finishes what it was given: what was to be stored is stored, what was only reserved is burnt.
    await _comes_to(mint, "burnt" if at == 1 else "issued")


async def _comes_to(mint: Mint, state: str) -> None:
    async with asyncio.timeout(120):
        while (row := await CertificateStore(mint.database).by_request("request-1")) is None or row.state != state:
            await asyncio.sleep(0.01)


@pytest.mark.chaos
async def test_a_commit_of_unknown_outcome_at_reserve_is_burnt(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    from troth.store.errors import COMMIT_UNKNOWN

    commit = mint.database.commit
    calls = 0

    async def losing(unit: Unit) -> None:
        nonlocal calls
        calls += 1
        await commit(unit)
        if calls == 1:
            raise CommitUnknown(COMMIT_UNKNOWN)

    monkeypatch.setattr(mint.database, "commit", losing)
    with pytest.raises(CommitUnknown):
        await mint.gate.issue(mint.request())
    assert (await _row(mint)).state == "burnt"
    assert mint.signer.certified == []


@pytest.mark.chaos
async def test_what_a_killed_process_left_reserved_is_burnt_once_it_is_given_up(mint: Mint) -> None:
    mint.signer.fail = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await mint.gate.issue(mint.request())
    assert (await _row(mint)).state == "reserved"
    burner = Burner(mint.database, mint.clock)
    assert await burner.burn_abandoned() == 0
    mint.clock.advance(timedelta(seconds=61))
    assert await burner.burn_abandoned() == 1
    row = await _row(mint)
    assert (row.state, row.status, row.revocation_reason, row.status_version) == ("burnt", "revoked", 5, 1)
    assert await burner.burn_abandoned() == 0


@pytest.mark.chaos
async def test_a_lapsed_lease_burns_at_once(mint: Mint) -> None:
    mint.signer.fail = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await mint.gate.issue(mint.request())
    await mint.database.fetchval(
        "INSERT INTO instance VALUES ($1, 'web', 'h', 1, now(), now() - interval '1 second')", mint.instance
    )
    assert await Burner(mint.database, mint.clock).burn_abandoned() == 1


@pytest.mark.chaos
async def test_bytes_signed_after_the_burning_are_dropped(mint: Mint) -> None:
    sign = mint.signer.certify

    async def slow(key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        row = await _row(mint)
        await Burner(mint.database, mint.clock).burn(row.id, why="test")
        return await sign(key_id, tbs, row.id)

    mint.signer.certify = slow  # type: ignore[method-assign]
    with pytest.raises(GateRefused) as caught:
        await mint.gate.issue(mint.request())
    assert caught.value.code == "pki.gate.store_refused"
    row = await _row(mint)
    assert (row.state, row.der) == ("burnt", None)


async def test_a_hold_between_reserve_and_store_is_kept(mint: Mint) -> None:
    subject = new_id()
    sign = mint.signer.certify

    async def held(key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        row = await _row(mint)
        await mint.database.commit(hold(Unit(), OfSubject(subject), cause="edr", actor="feed:edr", at=mint.clock.now()))
        return await sign(key_id, tbs, row.id)

    mint.signer.certify = held  # type: ignore[method-assign]
    stored: list[str] = []

    def with_store(issued: IssuedCertificate) -> Unit:
        stored.append(issued.status)
        return Unit()

    issued = await mint.gate.issue(mint.request(subjects=(Binding(subject),)), with_store=with_store)
    row = await _row(mint)
    assert (row.state, row.status, row.status_version) == ("issued", "held", 1)
    assert (issued.status, issued.status_version) == ("held", 1)
    assert stored == ["good", "held"]
    assert len(mint.signer.certified) == 1
    assert await _kinds(mint) == ["certificate.reserved", "certificate.held", "certificate.issued"]
    await mint.database.commit(
        release(Unit(), OfCertificate(row.id), cause="edr", actor="feed:edr", at=mint.clock.now())
    )
    assert (await _row(mint)).status == "good"


async def test_a_revocation_between_reserve_and_store_is_kept(mint: Mint) -> None:
    sign = mint.signer.certify

    async def revoked(key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        row = await _row(mint)
        await mint.database.commit(revoke(Unit(), OfCertificate(row.id), reason=1, actor="a", at=mint.clock.now()))
        return await sign(key_id, tbs, row.id)

    mint.signer.certify = revoked  # type: ignore[method-assign]
    issued = await mint.gate.issue(mint.request())
    assert (issued.status, (await _row(mint)).revocation_reason) == ("revoked", 1)


async def test_tampering_with_the_reserved_bytes_stops_the_store(mint: Mint) -> None:
    sign = mint.signer.certify

    async def tampered(key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        row = await _row(mint)
        await mint.database.fetchval("UPDATE certificate SET tbs = tbs || '\\x00' WHERE id = $1", row.id)
        return await sign(key_id, tbs, row.id)

    mint.signer.certify = tampered  # type: ignore[method-assign]
    with pytest.raises(GateRefused):
        await mint.gate.issue(mint.request())
    assert (await _row(mint)).state == "burnt"


async def test_nothing_is_reserved_nor_signed_while_the_interlock_is_closed(mint: Mint) -> None:
    mint.interlock.refusal = ClockRefused(CLOCK_SKEW)
    with pytest.raises(ClockRefused):
        await mint.gate.issue(mint.request())
    assert await mint.database.fetchval("SELECT count(*) FROM certificate") == 0


async def test_the_clock_guard_compares_node_database_and_ledger(mint: Mint) -> None:
    now = await mint.database.fetchval("SELECT clock_timestamp()")
    mint.clock.set_wall(now)
    guard = ClockGuard(mint.database, mint.clock)
    await guard.ensure()
    for wrong in (timedelta(seconds=-40), timedelta(seconds=40)):
        mint.clock.set_wall(now + wrong)
        await guard.ensure()  # the comparison is cached for a second
        mint.clock.advance(timedelta(seconds=1.1))
        with pytest.raises(ClockRefused):
            await guard.ensure()
        mint.clock.set_wall(now)
        mint.clock.advance(timedelta(seconds=1.1))
        await guard.ensure()
    await mint.database.fetchval("UPDATE ledger_head SET newest_at = $1", now + timedelta(seconds=60))
    mint.clock.advance(timedelta(seconds=1.1))
    with pytest.raises(ClockRefused) as caught:
        await guard.ensure()
    assert "behind" in caught.value.detail


async def test_how_far_clocks_may_be_apart_is_a_setting(mint: Mint) -> None:
    mint.clock.set_wall(await mint.database.fetchval("SELECT clock_timestamp()") + timedelta(seconds=40))
    await ClockGuard(mint.database, mint.clock, max_skew=timedelta(seconds=60)).ensure()
    with pytest.raises(ClockRefused):
        await ClockGuard(mint.database, mint.clock, max_skew=timedelta(seconds=20)).ensure()


async def test_the_clock_guard_fails_closed(mint: Mint) -> None:
    guard = ClockGuard(mint.database, mint.clock)
    mint.clock.set_wall(await mint.database.fetchval("SELECT clock_timestamp()"))
    await guard.ensure()
    mint.clock.advance(timedelta(seconds=1.1))
    await mint.database.fetchval("ALTER TABLE ledger_head RENAME TO gone")
    with pytest.raises(Exception, match="ledger_head"):
        await guard.ensure()
    with pytest.raises(Exception, match="ledger_head"):
        await guard.ensure()
