"""What the ledger tells besides standings ends sessions, once, within caps; and many are judged anew at a pace."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.integration.radius.conftest import Joins
from tests.support.das import Das
from tests.support.signals import Trust
from troth.audit.event import Event
from troth.audit.follower import Follower
from troth.audit.follower_store import begin
from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.audit.store import LedgerStore
from troth.audit.stream import Batch
from troth.kit.ids import new_id
from troth.kit.settings import TrustSettings
from troth.pki import revocation
from troth.pki.revocation import OfCertificate
from troth.radius.admission.desk import NetworkDesk
from troth.radius.admission.document import parse_networks
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.dynamic.follower import LedgerFollower
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.waves import WAVE_JOB, Waves
from troth.radius.sessions import order_store, store
from troth.radius.sessions.errors import SessionRefused
from troth.radius.sessions.orders import Order
from troth.store.jobs import JobQueue
from troth.store.lease import Lease
from troth.store.unit import Unit
from troth.trust.authoring.service import PolicyService


class Following:
    """The follower, from the beginning of the test on, batch by batch."""

    def __init__(self, trust: Trust, caps: TrustSettings) -> None:
        self._trust = trust
        self._follower: Follower = LedgerFollower(trust.database, trust.clock, caps).follower()
        self._place: int | None = None
        self._me = new_id()
        self._sequencer = Sequencer(trust.database, trust.clock, self._me)

    async def catch_up(self) -> None:
        held = await Lease(self._trust.database, self._trust.clock, LEASE_NAME, self._me).acquire()
        assert held is not None
        while await self._sequencer.move(held):
            pass
        if self._place is None:
            self._place = await begin(self._trust.database, "radius.sessions", 0)
        events, following = await LedgerStore(self._trust.database).read_on(self._place, 1_000)
        batch = Batch(tuple(events), following, 0.0, True)
        self._place = await self._follower.taken(batch, self._place)


@pytest.fixture
def caps() -> TrustSettings:
    return TrustSettings(cap_percent=0, cap_subjects=3)


@pytest.fixture
def following(trust: Trust, caps: TrustSettings) -> Following:
    return Following(trust, caps)


async def _orders(trust: Trust) -> list[Order]:
    return list(reversed(await order_store.listed(trust.database, limit=500)))


async def _held(trust: Trust, certificate: UUID, actor: str) -> None:
    unit = revocation.hold(Unit(), OfCertificate(certificate), cause=actor, actor=actor, at=trust.clock.now())
    await trust.database.commit(unit)


async def test_a_person_who_holds_a_certificate_ends_the_session_that_uses_it(
    trust: Trust, joins: Joins, following: Following, das: Das, sender: Sender
) -> None:
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    session, other = await joins(laptop, certificate=certificate), await joins(laptop)
    await _held(trust, certificate, "admin:alice")
    await following.catch_up()
    await following.catch_up()
    (order,) = await _orders(trust)
    assert (order.kind, order.session_id, order.automated, order.actor) == (
        "disconnect", session.id, False, "admin:alice",
    )  # fmt: skip
    await sender.drain()
    assert {one.id for one in (await store.some(trust.database, [session.id, other.id])).values() if one.open} == {
        other.id
    }


async def test_a_certificate_that_was_only_replaced_has_its_session_judged_anew(
    trust: Trust, joins: Joins, following: Following
) -> None:
    laptop = await trust.subject()
    kinds = []
    for reason in (4, 1):
        certificate = await trust.certificate(laptop)
        await joins(laptop, certificate=certificate)
        unit = revocation.revoke(
            Unit(), OfCertificate(certificate), reason=reason, actor="acme:account", at=trust.clock.now()
        )
        await trust.database.commit(unit)
        await following.catch_up()
        kinds.append((await _orders(trust))[-1].kind)
    assert kinds == ["reauthorize", "disconnect"]


async def test_what_comes_with_a_change_of_standing_is_left_to_the_reactions(
    trust: Trust, joins: Joins, following: Following
) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await joins(laptop, certificate=await trust.certificate(laptop))
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.cleared", laptop)
    await following.catch_up()
    assert await _orders(trust) == []


async def test_automation_ends_no_more_sessions_than_its_cap_and_no_protected_ones(
    trust: Trust, joins: Joins, following: Following, das: Das, sender: Sender
) -> None:
    guarded = await trust.subject("dc-1", protected=True)
    for subject in [guarded, *await trust.subjects(5)]:
        certificate = await trust.certificate(subject)
        await joins(subject, certificate=certificate)
        await _held(trust, certificate, "system:policy")
    await following.catch_up()
    orders = await _orders(trust)
    assert [one.state for one in orders] == ["waiting"] * 3 + ["staged"] * 2
    assert all(one.automated and one.kind == "reauthorize" for one in orders)
    await sender.drain()
    assert len(das.requests) == 3
    desk = OrderDesk(trust.database, trust.clock)
    await desk.decide(orders[3].id, approve=True, actor="admin:alice")
    await desk.decide(orders[4].id, approve=False, actor="admin:alice", reason="a mistake")
    with pytest.raises(SessionRefused, match=r"order_unknown"):
        await desk.decide(orders[4].id, approve=True, actor="admin:alice")
    await sender.drain()
    assert [one.state for one in await _orders(trust)] == ["done"] * 4 + ["dropped"]
    trust.clock.advance(timedelta(hours=2))
    late = await trust.subject("late")
    certificate = await trust.certificate(late)
    await joins(late, certificate=certificate)
    await _held(trust, certificate, "system:policy")
    await following.catch_up()
    assert (await _orders(trust))[-1].state == "waiting"


async def test_who_is_removed_or_given_to_another_is_judged_anew(
    trust: Trust, joins: Joins, following: Following
) -> None:
    laptop = await trust.subject()
    await joins(laptop)
    for fields in ({"serial": {"before": "1", "after": "2"}}, {"owner": {"before": "alice", "after": "bob"}}):
        data = {"subject_id": str(laptop), "fields": fields}
        await trust.database.commit(Unit().record(Event("subject.changed", "admin:alice", (), data)))  # type: ignore[arg-type]
        await following.catch_up()
    removed = Event("subject.removed", "admin:alice", (), {"subject_id": str(laptop)})
    await trust.database.commit(Unit().record(removed))
    await following.catch_up()
    assert [(one.kind, one.reason) for one in await _orders(trust)] == [
        ("reauthorize", "the directory says otherwise: owner"), ("reauthorize", "removed from the directory"),
    ]  # fmt: skip


async def test_another_network_has_its_sessions_judged_anew_at_a_pace_and_once(
    trust: Trust, joins: Joins, following: Following
) -> None:
    for number in range(6):
        await joins(await trust.subject(f"laptop-{number}"), network="corp" if number % 2 else "guest")
    data = {"network": "corp", "change": "changed"}
    await trust.database.commit(Unit().record(Event("network.applied", "admin:alice", (), data)))
    await following.catch_up()
    waves, queue = Waves(trust.database, trust.clock, per_minute=60), JobQueue(trust.database, trust.clock)
    (job,) = await queue.claim([WAVE_JOB], lease=timedelta(seconds=60))
    await waves.run(job)
    await waves.run(job)  # a worker that died after the commit
    orders = await _orders(trust)
    assert [(one.kind, one.automated) for one in orders] == [("reauthorize", False)] * 3
    assert [(one.due - orders[0].due).total_seconds() for one in orders] == [0, 1, 2]
    assert await queue.claim([WAVE_JOB], lease=timedelta(seconds=60)) == []
    kinds = [kind for kind, _ in await trust.events() if kind.startswith("session.wave")]
    assert "session.wave_ended" in kinds


_POLICY = """
policy: mine
profiles: [client-device]
rules:
  - rule: in
    moments: [connect]
    match: 'subject.kind == "device"'
    then: allow
    unknown: restrict
  - rule: out
    moments: [issue]
    then: allow
    unknown: restrict
"""


async def test_a_policy_has_only_those_judged_anew_whom_it_may_judge_otherwise(
    trust: Trust, joins: Joins, following: Following
) -> None:
    networks = parse_networks(
        "networks:\n"
        "  - {name: corp, match: {ssids: [corp]}, authorities: [root], profiles: [client-device, tls-server]}\n"
        "  - {name: things, match: {ssids: [t]}, authorities: [root], profiles: [quarantine], policy: client-device}\n"
        "  - {name: guest, match: {ssids: [g]}, authorities: [root], profiles: [quarantine], policy: tls-server}\n"
    )
    await NetworkDesk(trust.database, trust.clock).apply(networks, actor="admin:a")
    laptop, server, thing = await trust.subject(), await trust.subject("server"), await trust.subject("thing")
    mine = await joins(laptop, certificate=await trust.certificate(laptop))
    await joins(server, certificate=await trust.certificate(server, profile="tls-server"))
    plain = await joins(thing, network="things", method="mab")
    await joins(thing, network="guest", method="mab")
    gone = await joins(thing, network="gone", method="mab")
    healing = await joins(laptop, certificate=await trust.certificate(laptop, profile="quarantine"))
    await following.catch_up()
    queue = JobQueue(trust.database, trust.clock)
    waves = Waves(trust.database, trust.clock, per_minute=60)

    async def judged_anew() -> set[UUID]:
        """By the waves that have begun, and are done now."""
        before = {one.id for one in await _orders(trust)}
        for job in await queue.claim([WAVE_JOB], lease=timedelta(seconds=60)):
            await waves.run(job)
        return {one.session_id for one in await _orders(trust) if one.id not in before}

    await judged_anew()  # what the networks have begun
    policies = PolicyService(trust.database, trust.clock)
    said = []
    for text in (
        _POLICY,
        _POLICY.replace("rule: out", "rule: elsewhere"),
        _POLICY.replace('"device"', '"user"'),
        _POLICY.replace('"device"', '"user"').replace("[client-device]", "[client-device, tls-server]"),
    ):
        await policies.apply(await policies.plan(text), actor="admin:a")
        await following.catch_up()
        said.append(await judged_anew())
    touched = {mine.id, plain.id, gone.id, healing.id}
    assert said[:3] == [touched, set(), touched]
    assert mine.id not in said[3], "only the profile that is new"
    assert len(said[3]) == 4
