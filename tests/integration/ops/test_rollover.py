"""Rollovers on a real database: every gate, every way back, of two persons one, and each write of a step failing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.pki.test_issuers import added
from tests.support.mint import Mint
from troth.kit.ids import new_id
from troth.ops.rollover.errors import RolloverRefused
from troth.ops.rollover.model import ENDED
from troth.ops.rollover.service import Rollovers, Step
from troth.ops.rollover.store import RolloverStore
from troth.pki.authorities import Authority
from troth.pki.crl import CrlPublisher
from troth.pki.errors import AuthorityRefused
from troth.pki.issuer_classes import EVERY
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, revoke
from troth.store.statement import Write
from troth.store.unit import Unit

ACTOR, WHY = "admin:ann", "the old key is weak"


async def _begun(mint: Mint, slug: str = "second", state: str = "planned") -> tuple[Rollovers, UUID]:
    await added(mint, slug, *EVERY, state=state)
    room = Rollovers(mint.database, mint.clock, mint.catalogue)
    step = await room.start("issuing", slug, 90, 30, actor=ACTOR)
    await _do(mint, step)
    return room, step.rollover


async def _do(mint: Mint, step: Step) -> None:
    await mint.database.commit(step.unit)
    await mint.catalogue.refresh()


async def _stage(room: Rollovers, rollover: UUID) -> str:
    return (await room.situation(rollover)).rollover.stage


def _states(mint: Mint, *slugs: str) -> list[str]:
    return [mint.catalogue.authority(slug).state for slug in slugs]


async def test_a_rollover_walks_through_every_gate(mint: Mint) -> None:
    old = await mint.gate.issue(mint.request("old"))
    room, rollover = await _begun(mint)
    assert _states(mint, "issuing", "second") == ["active", "planned"]
    # One root: who trusts it trusts the new authority.
    await _do(mint, await room.advance(rollover, override="", actor=ACTOR))
    assert mint.catalogue.issuer_for("tls-server").slug == "issuing"
    await _do(mint, await room.advance(rollover, override="", actor=ACTOR))
    assert (await _stage(room, rollover), _states(mint, "issuing", "second")) == ("issue", ["retiring", "active"])
    assert mint.catalogue.issuer_for("tls-server").slug == "second"
    with pytest.raises(RolloverRefused, match="has issued a certificate"):
        await room.advance(rollover, override="", actor=ACTOR)
    await mint.gate.issue(mint.request("new", authority="second"))
    await Responders(mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock).ensure("second")
    await CrlPublisher(mint.database, mint.signer, mint.catalogue, mint.interlock, mint.clock).publish("second")
    await _do(mint, await room.advance(rollover, override="", actor=ACTOR))
    pulled = await RolloverStore(mint.database).pulled_forward()
    assert pulled == {"issuing": mint.clock.now() + timedelta(days=30)}
    with pytest.raises(RolloverRefused, match="1, the last one until"):
        await room.advance(rollover, override="", actor=ACTOR)
    await mint.database.commit(revoke(Unit(), OfCertificate(old.id), reason=4, actor=ACTOR, at=mint.clock.now()))
    await _do(mint, await room.advance(rollover, override="", actor=ACTOR))
    assert (await _stage(room, rollover), _states(mint, "issuing", "second")) == ("retired", ["retired", "active"])
    with pytest.raises(RolloverRefused) as caught:
        await room.back_out(rollover, WHY, actor=ACTOR)
    assert caught.value.code == "rollover.settled"


async def test_coverage_is_measured_by_what_devices_trust_or_vouched_for(mint: Mint) -> None:
    room, rollover = await _begun(mint)
    at = replace(await room.situation(rollover), roots=("root", "other"))
    measuring = replace(at, rollover=replace(at.rollover, stage="coverage"))
    # Nothing is known of any trust store: that is not good.
    assert [one.met for one in replace(measuring, measures=()).gate] == [False]
    device = new_id()
    digest = mint.catalogue.authority("root").sha256.hex()
    await _device(mint, device, f'["{digest}"]')
    await _device(mint, new_id(), '["ff"]')
    measure = await RolloverStore(mint.database).devices(digest)
    assert (measure.covered, measure.total, measure.percent) == (1, 2, 50)
    assert [one.met for one in replace(measuring, measures=(measure,)).gate] == [False]
    await _do(mint, await room.attest(rollover, 95, "asked every department", actor=ACTOR))
    vouched = replace(measuring, attestation=(await room.situation(rollover)).attestation, measures=())
    assert [one.met for one in vouched.gate] == [True]


async def _device(mint: Mint, device: UUID, value: str) -> None:
    subject = Write(
        "test_subject",
        """INSERT INTO subject (id, kind, name, origin, standing_since, created_at, confirmed_at)
           SELECT id, 'device', id::text, 'test', at, at, at FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, at)""",
        ("uuid", "timestamptz"),
    )
    fact = Write(
        "test_fact",
        """INSERT INTO fact (subject_id, source, name, value, observed_at, received_at)
           SELECT id, 'test', 'device.trusts_roots', value, at, at
           FROM unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) AS i(id, value, at)""",
        ("uuid", "jsonb", "timestamptz"),
    )
    now = mint.clock.now()
    await mint.database.commit(Unit().write(subject, device, now))
    await mint.database.commit(Unit().write(fact, device, value, now))


async def test_a_shut_gate_is_passed_with_a_reason_alone_and_the_ledger_has_it(mint: Mint) -> None:
    room, rollover = await _begun(mint)
    for _ in range(2):
        await _do(mint, await room.advance(rollover, override="", actor=ACTOR))
    with pytest.raises(RolloverRefused) as caught:
        await room.advance(rollover, override="hurry", actor=ACTOR)
    assert caught.value.code == "rollover.invalid"
    step = await room.advance(rollover, override="it is being exercised only", actor=ACTOR)
    assert "Passed against the gate: it is being exercised only" in step.lines
    await _do(mint, step)
    assert await _stage(room, rollover) == "drain"


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_every_stage_has_a_way_back(mint: Mint, steps: int) -> None:
    room, rollover = await _begun(mint)
    for _ in range(steps):
        await _do(mint, await room.advance(rollover, override="an exercise of the way back", actor=ACTOR))
    await _do(mint, await room.back_out(rollover, WHY, actor=ACTOR))
    assert await _stage(room, rollover) == "backed-out"
    assert mint.catalogue.issuer_for("tls-server").slug == "issuing"
    assert _states(mint, "issuing", "second") == ["active", "planned" if steps < 2 else "retiring"]
    assert await RolloverStore(mint.database).pulled_forward() == {}


async def test_of_two_who_move_a_rollover_on_one_succeeds(mint: Mint) -> None:
    room, rollover = await _begun(mint)
    steps = [await room.advance(rollover, override="", actor=f"admin:{n}") for n in range(2)]
    done = await asyncio.gather(*(mint.database.commit(one.unit) for one in steps), return_exceptions=True)
    assert [getattr(one, "code", None) for one in done if one is not None] == ["rollover.moved"]


async def test_an_authority_takes_part_in_one_rollover_at_a_time(mint: Mint) -> None:
    room, _ = await _begun(mint)
    await added(mint, "third", *EVERY, state="planned")
    for outgoing, incoming in (("issuing", "third"), ("issuing", "second")):
        with pytest.raises(RolloverRefused) as caught:
            await room.start(outgoing, incoming, 90, 30, actor=ACTOR)
        assert caught.value.code == "rollover.under_way"


async def test_what_cannot_follow_is_refused(mint: Mint) -> None:
    room = Rollovers(mint.database, mint.clock, mint.catalogue)
    await added(mint, "radius", EVERY[-1], state="planned")
    for pair in (("issuing", "issuing"), ("issuing", "root"), ("issuing", "radius"), ("radius", "issuing")):
        with pytest.raises(RolloverRefused) as caught:
            await room.start(*pair, 90, 30, actor=ACTOR)
        assert caught.value.code == "rollover.misfit"
    with pytest.raises(AuthorityRefused):
        await room.start("issuing", "nobody", 90, 30, actor=ACTOR)


FAILING = Write("test_failing", "SELECT 1 / n FROM unnest($1::int[]) AS i(n)", ("int",), rank=99)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_a_step_whose_writes_fail_changes_nothing(mint: Mint, steps: int) -> None:
    """Each write of the step in turn is the last one that is done."""
    room, rollover = await _begun(mint)
    override = "an exercise of failing disks"
    for _ in range(steps):
        await _do(mint, await room.advance(rollover, override=override, actor=ACTOR))
    before = (await _stage(room, rollover), _states(mint, "issuing", "second"))
    whole = (await room.advance(rollover, override=override, actor=ACTOR)).unit
    for last in range(len(whole.writes) + 1):
        unit = (await room.advance(rollover, override=override, actor=ACTOR)).unit
        unit.writes[last:] = []
        unit.write(FAILING, 0)
        with pytest.raises(Exception, match="division by zero"):
            await mint.database.commit(unit)
        await mint.catalogue.refresh()
        assert (await _stage(room, rollover), _states(mint, "issuing", "second")) == before
    await _do(mint, await room.advance(rollover, override=override, actor=ACTOR))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(walk=st.lists(st.sampled_from(["advance", "advance", "advance", "back_out", "attest", "by hand"]), max_size=9))
async def test_whatever_is_done_somebody_issues_and_nothing_leaves_an_end(mint: Mint, walk: list[str]) -> None:
    slug = f"new-{new_id().hex[-12:]}"
    outgoing = next(one for one in mint.catalogue.authorities.values() if one.issues_for(EVERY[0]))
    await added(mint, slug, *EVERY, state="planned")
    room = Rollovers(mint.database, mint.clock, mint.catalogue)
    step = await room.start(outgoing.slug, slug, 90, 30, actor=ACTOR)
    await _do(mint, step)
    rollover, refused, ended, same = step.rollover, 0, 0, 0
    for what in walk:
        before = await _stage(room, rollover)
        try:
            await _do(mint, await _step(mint, room, rollover, what, outgoing))
        except RolloverRefused:
            refused += 1
            ended += before in ENDED
            same += await _stage(room, rollover) == before
        issuer = mint.catalogue.issuer_for("tls-server").slug
        expected = slug if await _stage(room, rollover) in ("issue", "drain", "retired") else outgoing.slug
        assert issuer == expected
    # Only what has ended refuses a step, and a refusal moves nothing.
    assert refused == ended == same
    if await _stage(room, rollover) not in ENDED:
        await _do(mint, await room.back_out(rollover, WHY, actor=ACTOR))


async def _step(mint: Mint, room: Rollovers, rollover: UUID, what: str, outgoing: Authority) -> Step:
    if what == "back_out":
        return await room.back_out(rollover, WHY, actor=ACTOR)
    if what == "attest":
        return await room.attest(rollover, 40, "a guess of somebody", actor=ACTOR)
    if what == "by hand":
        mint.clock.advance(timedelta(seconds=1))
    return await room.advance(rollover, override="an exercise of many walks", actor=ACTOR)
