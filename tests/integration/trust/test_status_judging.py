"""Policies of the moment *status*: holds that a policy raises and clears, within its guard."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.support.signals import Trust
from troth.audit.event import Event, StreamEvent
from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.kit.ids import new_id
from troth.store.lease import Lease
from troth.store.unit import Unit
from troth.trust.authoring.service import PolicyService
from troth.trust.decision.decide import Judge
from troth.trust.enforcement.status_following import StatusFollower
from troth.trust.enforcement.status_judging import Round, StatusJudge
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore

POLICY = """
policy: watch
profiles: [client-device]
rules:
  - rule: lost
    moments: [status]
    match: '"lost" in subject.groups'
    then: deny
    unknown: restrict
  - rule: found
    moments: [status]
    match: '"found" in subject.groups'
    then: allow
    unknown: restrict
"""


class Watch:
    """A status judge over a test's database."""

    def __init__(self, trust: Trust, **guard: int) -> None:
        self.trust = trust
        self.cache = PolicyCache(PolicyStore(trust.database))
        sources = [StoredFacts(SubjectStore(trust.database)), SignalFacts(trust.database, trust.clock)]
        judge = Judge(self.cache, sources, trust.clock)
        guard = {"percent": 10, "subjects": 10} | guard
        self.duty = StatusJudge(trust.database, judge, trust.clock, **guard)

    async def apply(self, text: str) -> None:
        policies = PolicyService(self.trust.database, self.trust.clock)
        await policies.apply(await policies.plan(text), actor="admin:a")
        await self.cache.refresh()

    async def groups(self, name: str, groups: str) -> None:
        await self.trust.database.fetch("UPDATE subject SET groups = $2 WHERE name = $1", name, groups)


async def test_a_policy_holds_and_releases_and_each_change_has_its_decision(trust: Trust) -> None:
    watch = Watch(trust)
    lost = await trust.certificate(await trust.subject("laptop-1", groups=["lost"]))
    other = await trust.certificate(await trust.subject("laptop-2"))
    await watch.apply(POLICY)
    assert await watch.duty.run_once() == Round(judged=2, held=1)
    assert (await trust.status(lost), await trust.status(other)) == ("held", "good"), "no rule, no change"
    assert await watch.duty.run_once() == Round(judged=2), "and nothing twice"
    await watch.groups("laptop-1", '["found"]')
    assert await watch.duty.run_once() == Round(judged=2, released=1)
    assert await trust.status(lost) == "good"
    made = [data for kind, data in await trust.events() if kind == "decision.made"]
    assert [(one["moment"], one["rule"], one["outcome"]) for one in made] == [
        ("status", "lost", "deny"), ("status", "found", "allow"),
    ]  # fmt: skip


async def test_it_clears_its_own_cause_and_no_other(trust: Trust) -> None:
    watch = Watch(trust)
    laptop = await trust.subject("laptop-1", groups=["lost"])
    certificate = await trust.certificate(laptop)
    await trust.feed()
    await watch.apply(POLICY)
    await watch.duty.run_once()
    await trust.take("edr.contained", laptop)
    await watch.groups("laptop-1", '["found"]')
    assert (await watch.duty.run_once()).released == 1
    assert await trust.status(certificate) == "held", "the standing still holds it"


async def test_what_would_hold_too_many_holds_none_and_is_told_once(trust: Trust) -> None:
    watch = Watch(trust, percent=10, subjects=1)
    certificates = [
        await trust.certificate(await trust.subject(f"laptop-{number}", groups=["lost"])) for number in range(3)
    ]
    await watch.apply(POLICY)
    for _ in range(2):
        assert await watch.duty.run_once() == Round(judged=3, held_back=("watch",))
    assert {await trust.status(one) for one in certificates} == {"good"}
    kinds = [kind for kind, _ in await trust.events()]
    assert kinds.count("policy.status_held_back") == 1


async def test_a_policy_without_such_rules_lets_go_and_protected_and_frozen_are_left(trust: Trust) -> None:
    watch = Watch(trust)
    lost = await trust.certificate(await trust.subject("laptop-1", groups=["lost"]))
    guarded = await trust.certificate(await trust.subject("dc-1", groups=["lost"], protected=True))
    await watch.apply(POLICY)
    await trust.orders.freeze(person="alice", reason="drill")
    assert await watch.duty.run_once() == Round()
    await trust.orders.unfreeze(person="alice", reason="")
    assert (await watch.duty.run_once()).held == 1
    assert await trust.status(guarded) == "good"
    await watch.apply(POLICY.replace("[status]", "[issue]"))
    assert (await watch.duty.run_once()).released == 1
    assert await trust.status(lost) == "good"


# --- at once ---------------------------------------------------------------------------------------------------------


def told(kind: str, *subjects: UUID, actor: str = "admin:a", **data: Any) -> StreamEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return StreamEvent(0, new_id(), new_id(), at, kind, actor, tuple(f"subject:{one}" for one in subjects), data)


async def test_what_changes_of_a_subject_is_judged_and_nobody_else(trust: Trust) -> None:
    watch = Watch(trust)
    owner = await trust.subject("alice", kind="user")
    laptop, other = await trust.subject("laptop-1", groups=["lost"]), await trust.subject("laptop-2", groups=["lost"])
    first, second = await trust.certificate(laptop), await trust.certificate(other)
    await trust.database.fetch("UPDATE subject SET owner_id = $1 WHERE name = 'laptop-2'", owner)
    await watch.apply(POLICY)
    follower = StatusFollower(trust.database, trust.clock, watch.duty)
    assert await follower.taken([told("subject.changed", laptop, fields=["groups"])]) == Round(judged=1, held=1)
    assert (await trust.status(first), await trust.status(second)) == ("held", "good")
    # Nobody reads that fact, that event is not about what is known, and this one is of our own making.
    quiet = [
        told("fact.changed", other, name="posture.firewall"), told("fact.reported", other, values={"risk.score": 1}),
        told("session.opened", other), told("certificate.held", other, actor="system:policy"),
    ]  # fmt: skip
    assert await follower.taken(quiet) == Round()
    assert await follower.taken([told("standing.changed", owner)]) == Round(judged=1, held=1), "whose owner changes"
    await watch.groups("laptop-1", '["found"]')
    assert await follower.taken([told("cause.raised", laptop)]) == Round(judged=1, released=1)
    assert await follower.taken([told("policy.applied")]) == Round(judged=2)


async def test_one_by_one_no_more_are_held_than_in_a_round(trust: Trust) -> None:
    watch = Watch(trust, percent=10, subjects=2)
    laptops = [await trust.subject(f"laptop-{number}", groups=["lost"]) for number in range(4)]
    certificates = [await trust.certificate(one) for one in laptops]
    await watch.apply(POLICY)
    rounds = [await watch.duty.run_of([one]) for one in laptops[:3]]
    assert [(one.held, one.held_back) for one in rounds] == [(1, ()), (1, ()), (0, ("watch",))]
    assert "policy.status_held_back" not in await trust.kinds()
    assert await watch.duty.run_once() == Round(judged=4, held_back=("watch",)), "with the two since the last round"
    assert await watch.duty.run_once() == Round(judged=4, held=2)
    assert {await trust.status(one) for one in certificates} == {"held"}


async def test_the_ledger_has_it_judged_within_the_moment(trust: Trust) -> None:
    watch = Watch(trust)
    laptop = await trust.subject("laptop-1", groups=["lost"])
    certificate = await trust.certificate(laptop)
    await watch.apply(POLICY)
    stop, sequencer = asyncio.Event(), Sequencer(trust.database, trust.clock, new_id())
    held = await Lease(trust.database, trust.clock, LEASE_NAME, new_id()).acquire()
    assert held is not None
    following = asyncio.create_task(StatusFollower(trust.database, trust.clock, watch.duty).run(stop))
    async with asyncio.timeout(60):
        while await trust.status(certificate) != "held":
            # Told again and again: what came before it listened, it does not hear.
            await trust.database.commit(Unit().record(Event("cause.raised", "feed:edr", (f"subject:{laptop}",))))
            await sequencer.move(held)
            await asyncio.sleep(0.02)
    stop.set()
    await following
