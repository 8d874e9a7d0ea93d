"""Admissions of one worker on a real database: the stream with its sequencer, the table, the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.drains import PromptDrain
from tests.support.signals import Trust
from tests.unit.radius.admission.world import Facts, Nas
from troth.audit.sequencer import Sequencer
from troth.audit.store import LedgerStore
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.conversations import NOTE
from troth.radius.admission.desk import NetworkDesk
from troth.radius.admission.document import parse_networks
from troth.radius.admission.following import Follower
from troth.radius.admission.keeping import take
from troth.radius.admission.model import Attempt, Verdict
from troth.radius.places.model import parse_places
from troth.radius.places.service import PlaceDesk
from troth.trust.authoring.service import PolicyService
from troth.trust.connecting.journal import Journal
from troth.trust.decision.decide import Judge
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore

POLICY = """
policy: client-device
profiles: [client-device]
standing: {quarantined: {profile: quarantine, lifetime: 4h}}
rules:
  - rule: healthy
    moments: [connect]
    require:
      compliant: posture.compliant
      quiet: signals.count == 0
    then: allow
    else: quarantine
    unknown: {restrict: {session_time: 1h}}
"""
PLACES = "places: [{name: staff, vlan: 20}, {name: limited, vlan: 30}, {name: healing, vlan: 900}]"
NETWORKS = """
networks:
  - name: corp
    match: {ssids: [Corp]}
    authorities: [root]
    profiles: [client-device]
    places: {allow: staff, restrict: limited, quarantine: healing}
"""


@dataclass
class Campus:
    """A running worker's admissions, and the means to change what they rest on."""

    trust: Trust
    desk: NetworkDesk
    journal: Journal
    drain: PromptDrain
    policies: PolicyService
    follower: Follower
    admissions: Admissions
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def device(
        self, name: str = "laptop-1", *, compliant: bool | None = True, **fields: Any
    ) -> tuple[UUID, UUID]:
        """(subject, certificate) of a device that its manager says this of."""
        subject = await self.trust.subject(name)
        if compliant is not None:
            await self.say(subject, compliant=compliant)
        return subject, await self.trust.certificate(subject, **fields)

    async def say(self, subject: UUID, *, compliant: bool) -> None:
        """As a manager reports it."""
        from troth.store.unit import Unit
        from troth.trust.feeds.feed_store import find_feed
        from troth.trust.intake.reported import Known, Reported, add_known
        from troth.trust.signals.model import Whom

        database, at = self.trust.database, self.trust.clock.now()
        feed = await find_feed(database, "mdm")
        assert feed is not None
        report = Reported(Whom(id=subject), at, {"posture.compliant": compliant})
        unit, store = Unit(), SubjectStore(database)
        found = {one.id: one for one in await store.by_ids([subject])}
        add_known(unit, feed, [Known(report, subject, False)], found, at=at)
        await database.commit(unit)

    async def attempt(self, certificate: UUID, **changes: Any) -> Attempt:
        row = await self.trust.row(certificate)
        assert row.der is not None
        values: dict[str, Any] = {
            "at": self.trust.clock.now(),
            "nas": Nas(),
            "network": self.admissions.network(ssid="Corp", nas="ap-1", port_type="wireless"),
            "method": "eap-tls",
            "calling_station_id": "02-00-00-00-00-01",
            "ssid": "Corp",
            "facts": Facts((row.der, self.trust.mint.issuer.public_bytes(Encoding.DER))),
        }
        return Attempt(**(values | changes))

    async def admit(self, certificate: UUID, **changes: Any) -> Verdict | None:
        return await self.admissions.admit(await self.attempt(certificate, **changes))

    async def outcome(self, certificate: UUID) -> str:
        """The outcome, or the reason if it is denied."""
        verdict = await self.admit(certificate)
        if verdict is None:
            return "dropped"
        return verdict.outcome.value if verdict.admitted else verdict.reason

    async def effective(self) -> None:
        """Come back when everything committed so far has been applied by every decision point."""
        ledger = LedgerStore(self.trust.database)
        async with asyncio.timeout(120):
            while await ledger.oldest_unsequenced() is not None:
                await asyncio.sleep(0.01)
            index = (await ledger.head()).size - 1
            while not await ledger.is_effective(index):
                await asyncio.sleep(0.01)


@pytest.fixture
def clock() -> SystemClock:
    """Leases are measured by it."""
    return SystemClock()


@pytest.fixture
async def sequencer(trust: Trust) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(Sequencer(trust.database, trust.clock, new_id()).run(stop))
    yield task
    stop.set()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def campus(trust: Trust, sequencer: asyncio.Task[None], tmp_path: Path) -> AsyncIterator[Campus]:
    database, clock = trust.database, trust.clock
    policies = PolicyService(database, clock)
    await policies.apply(await policies.plan(POLICY), actor="admin:alice")
    await PlaceDesk(database, clock).apply(parse_places(PLACES), actor="admin:alice")
    desk = NetworkDesk(database, clock)
    await desk.apply(parse_networks(NETWORKS), actor="admin:alice")
    await trust.feed("mdm")
    await trust.feed("edr")
    cache = PolicyCache(PolicyStore(database))
    judge = Judge(cache, [StoredFacts(SubjectStore(database)), SignalFacts(database, clock)], clock)
    journal = Journal.open(tmp_path / "journal")
    drain = PromptDrain(database, journal, clock, takers={NOTE: take})
    follower = Follower(database, judge, clock, new_id(), poll_seconds=0.05)
    admissions = Admissions(follower.decider, cache, journal, clock, on_open=follower.call)
    made = Campus(trust, desk, journal, drain, policies, follower, admissions)
    ready = asyncio.Event()
    task = asyncio.create_task(follower.run(made.ended, ready.set))
    async with asyncio.timeout(120):
        while not ready.is_set():
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
    yield made
    made.ended.set()
    await task
    await journal.close()
