"""Signals that are taken in one transaction: what becomes of them is what becomes of them one after the other."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.feeds.health_store import add_heard
from troth.trust.intake import inbox_store, together
from troth.trust.intake.desk import Arrived, SignalDesk
from troth.trust.intake.inbox import Inbox, InboxWorker
from troth.trust.intake.taking import Receipt
from troth.trust.signals.errors import NotGranted, SignalError
from troth.trust.signals.model import Effect, Signal, Whom
from troth.trust.standing import Standing
from troth.trust.standings.service import RulesService

WHOLE = {"percent": 100, "subjects": 1_000_000}

#: What the signals of a run leave behind, without the ids that differ from run to run.
_LEFT = {
    "subject": "SELECT id, standing, standing_version, standing_since FROM subject ORDER BY id",
    "state": """SELECT subject_id, state::text, standing, open_causes, score, next_at FROM subject_state
        ORDER BY subject_id""",
    "cause": """SELECT subject_id, feed, key, level, observed_at, raised_at, cleared_at, peak, effective_at, expires_at,
        shadow FROM hold_cause ORDER BY 1, 2, 3""",
    "staged": """SELECT subject_id, action, feed, cause, level, why, observed_at, would::text, state, detail
        FROM staged_action ORDER BY 1, 2, 3, 4, staged_at, state""",
    "slot": "SELECT scope, slot, spent, asked FROM cap_slot ORDER BY 1, 2",
    "mark": "SELECT feed, subject_id, asked_at, spent_at FROM cap_mark ORDER BY 1, 2",
    "record": "SELECT subject_id, at, inputs, outcome FROM assessment ORDER BY id",
    "signal": "SELECT feed, message_id, subject_id, level, standing, staged, effects::text FROM signal ORDER BY 1, 2",
    "feed": "SELECT name, suspended, suspended_why, suspended_by, suspended_at FROM feed ORDER BY name",
    "silence": "SELECT feed, since, until FROM feed_silence ORDER BY 1, 2",
    "certificate": "SELECT id, status, status_version, status_at, revocation_reason FROM certificate ORDER BY id",
    "hold": "SELECT certificate_id, cause FROM certificate_hold ORDER BY 1, 2",
    "effect": "SELECT subject_id, standing_version, port, target, state FROM effect ORDER BY 1, 2, 3, 4",
    "job": "SELECT kind, key, due FROM job ORDER BY 1, 2",
}  # fmt: skip
_BACK = (
    "DELETE FROM staged_action", "DELETE FROM hold_cause", "DELETE FROM subject_state", "DELETE FROM cap_slot",
    "DELETE FROM cap_mark", "DELETE FROM assessment", "DELETE FROM effect", "DELETE FROM job", "DELETE FROM signal",
    "DELETE FROM feed_silence", "DELETE FROM feed_health", "DELETE FROM certificate_hold", "DELETE FROM crl_change",
    "DELETE FROM ledger_inbox", "DELETE FROM signal_unresolved",
    "UPDATE subject SET standing = 'trusted', standing_version = 0",
    "UPDATE feed SET suspended = false, suspended_by = NULL, suspended_why = '', suspended_at = NULL",
    "UPDATE certificate SET status = 'good', status_version = 0, revocation_reason = NULL, crl_entry = NULL",
)  # fmt: skip

_now: contextvars.ContextVar[datetime] = contextvars.ContextVar("now")


class Stamped:
    """A clock that shows each task its own time."""

    def now(self) -> datetime:
        return _now.get()

    def monotonic(self) -> float:
        return 0.0


async def _send(desk: SignalDesk, one: Signal, at: datetime) -> Receipt | str:
    _now.set(at)
    try:
        return await desk.take(one, joined=add_heard(Unit(), one.feed, at))
    except SignalError as refusal:
        return refusal.code


async def _left(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(row) for row in await database.fetch(sql)] for name, sql in _LEFT.items()}


def _seen(receipt: Receipt | str) -> object:
    """Its answer, which is the same for a repetition."""
    return receipt if isinstance(receipt, str) else (receipt.standing, receipt.staged, receipt.effects)


async def _world(trust: Trust, rng: random.Random, **watched: int) -> list[UUID]:
    rules = RulesService(trust.database, trust.clock)
    await rules.apply(
        await rules.plan(
            "standing:\n  caps:\n    group: {percent: 30, subjects: 2}\n    everyone: {percent: 40, subjects: 3}\n"
            "    hard: {percent: 0, subjects: 6}\n    breaker: {percent: 50, population: 5}\n"
        ),
        actor="admin:alice",
    )
    await trust.feed("a", cap={"percent": 0, "subjects": rng.randint(2, 6), "window_seconds": 600})
    await trust.feed("b", cap={"percent": 50, "subjects": 2, "above": "restrict"}, kinds=["edr.*", "idp.*"])
    await trust.feed("c", cap=WHOLE, rollout={"*": 25}, **watched)
    found = [
        await trust.subject(f"s-{n}", kind=rng.choice(["device", "device", "user"]), protected=n == 3,
                            groups=rng.sample(["x", "y"], rng.randint(0, 2)), site=rng.choice(["here", "there"]))
        for n in range(18)
    ]  # fmt: skip
    for one, other in zip(found[:5], found[3:8], strict=True):
        await trust.certificate(one, owner=other)
    await trust.certificate(found[0], profile="quarantine")
    return found


def _signals(
    trust: Trust, rng: random.Random, subjects: Sequence[UUID], start: datetime
) -> list[tuple[Signal, datetime]]:
    made = []
    for number in range(40):
        at = start + timedelta(seconds=rng.randint(0, 90))
        kind = rng.choice(["edr.intrusion", "edr.intrusion", "edr.suspicious", "edr.alert", "edr.contained",
                           "idp.risk_event", "mdm.noncompliant"])  # fmt: skip
        named = rng.choice(subjects) if number % 13 else Whom(kind="device", name="nobody")
        made.append((
            trust.signal(
                kind, "x", whom=Whom(id=named) if isinstance(named, UUID) else named, feed=rng.choice("aaabbc"),
                message_id=f"m-{start:%H%M}-{number}", observed_at=at - timedelta(seconds=rng.randint(0, 600)), now=at,
                effect=rng.choice([None, None, None, Effect.CLEAR]), cause=rng.choice([None, "one", "two"]),
                severity=rng.randint(20, 100),
                expires_at=rng.choice([None, at + timedelta(hours=2)]),
            ),
            at,
        ))  # fmt: skip
    return [*made, *rng.sample(made, 3)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_in_company_each_signal_does_what_it_does_alone(
    trust: Trust, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    subjects = await _world(trust, rng, **({"cadence_seconds": 600} if seed == 2 else {}))
    sizes: list[int] = []
    really = together.take_together

    async def counted(reader: Any, members: Any, among: Any) -> Any:
        sizes.append(len(members))
        return await really(reader, members, among)

    monkeypatch.setattr("troth.trust.intake.desk.take_together", counted)
    await trust.database.fetchval("DELETE FROM ledger_inbox")
    waves, start = [], trust.clock.now()
    for _ in range(3):
        waves.append(_signals(trust, rng, subjects, start))
        start += timedelta(minutes=rng.choice([2, 9, 45]))
    desk = SignalDesk(trust.database, Stamped(), trust.enforcer)
    receipts: dict[str, object] = {}
    for wave in waves:
        came = await asyncio.gather(*(asyncio.create_task(_send(desk, one, at)) for one, at in wave))
        receipts |= {f"{one.feed} {one.message_id}": _seen(it) for (one, _), it in zip(wave, came, strict=True)}
    assert max(sizes) > 8
    events = await trust.events()
    order = [f"{data['feed']} {data['message_id']}" for kind, data in events if kind == "signal.accepted"]
    left = await _left(trust.database)
    assert len(left["staged"]) > 3
    assert len(left["slot"]) > 3
    assert any(row["suspended"] for row in left["feed"])

    for sql in _BACK:
        await trust.database.fetchval(sql)
    sizes.clear()
    desk = SignalDesk(trust.database, Stamped(), trust.enforcer)
    alone: dict[str, object] = {}
    for wave in waves:
        known = {f"{one.feed} {one.message_id}": (one, at) for one, at in reversed(wave)}
        first = [name for name in order if name in known]
        for name in [*first, *(name for name in known if name not in first)]:
            alone[name] = _seen(await _send(desk, *known[name]))
    assert set(sizes) == {1}
    assert alone == receipts
    for name, rows in (await _left(trust.database)).items():
        assert rows == left[name], name
    assert _told(await trust.events()) == _told(events)


def _told(events: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the ledger says, in no order: that of a company's holds is by unit."""
    return sorted(f"{kind} {data.get('name')} {data.get('to')} {data.get('why')} {data.get('cause')}"
                  for kind, data in events)  # fmt: skip


async def test_those_that_wait_share_a_transaction_and_who_cannot_be_stored_holds_up_nobody(trust: Trust) -> None:
    await trust.feed(cap=WHOLE)
    laptops = await trust.subjects(12)
    await trust.desk.take_all([Arrived(trust.signal("edr.intrusion", one), Unit()) for one in laptops[:6]])
    shared = await trust.database.fetchval("SELECT count(DISTINCT xmin::text) FROM signal")
    assert shared <= 2
    bad = trust.signal("edr.intrusion", laptops[9], sequence="\0")
    there = [Arrived(bad if one is laptops[9] else trust.signal("edr.intrusion", one), Unit()) for one in laptops[6:]]
    came = await trust.desk.take_all(there)
    assert [isinstance(one, Receipt) for one in came] == [True, True, True, False, True, True]
    standings = [await trust.standing(one) for one in laptops]
    assert standings == [Standing.TRUSTED if one == laptops[9] else Standing.QUARANTINED for one in laptops]


async def test_who_may_not_say_that_is_refused_alone(trust: Trust) -> None:
    await trust.feed(cap=WHOLE, kinds=["edr.*"])
    laptops = await trust.subjects(5)
    kinds = ["edr.intrusion", "mdm.lost", "edr.contained", "mdm.lost", "edr.intrusion"]
    came = await trust.desk.take_all(
        [Arrived(trust.signal(kind, one), Unit()) for kind, one in zip(kinds, laptops, strict=True)]
    )
    assert [isinstance(one, NotGranted) for one in came] == [False, True, False, True, False]
    assert await trust.database.fetchval("SELECT count(*) FROM signal") == 3


async def test_the_inbox_takes_the_most_severe_first_when_there_is_room_for_few(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 3})
    laptops = await trust.subjects(8)
    severe = {laptops[1], laptops[4], laptops[7]}
    said = [trust.signal("edr.intrusion", one, severity=95 if one in severe else 60) for one in laptops]
    await Inbox(trust.database, trust.clock).accept("edr", said)
    assert await InboxWorker(trust.database, trust.clock, new_id(), trust.desk).run_once() == 8
    assert await inbox_store.due(trust.database, trust.clock.now(), 10) == []
    assert {one for one in laptops if await trust.standing(one) is Standing.QUARANTINED} == severe


async def test_two_who_share_a_certificate_hold_it_each_for_itself(trust: Trust) -> None:
    await trust.feed(cap=WHOLE)
    laptop, owner, other = await trust.subjects(3)
    certificate = await trust.certificate(laptop, owner=owner)
    asked = [Arrived(trust.signal("edr.contained", one), Unit()) for one in (other, laptop, owner)]
    await trust.desk.take_all(asked)
    row = await trust.row(certificate)
    assert (row.status, row.status_version) == ("held", 2)
    await trust.desk.take_all([Arrived(trust.signal("edr.containment_lifted", laptop), Unit())])
    assert await trust.status(certificate) == "held"
    await trust.desk.take_all([Arrived(trust.signal("edr.containment_lifted", owner), Unit())])
    assert await trust.status(certificate) == "good"
