"""Two workers, one of them stopped and begun anew, and changes of every kind: no Accept leaves above what is effective.

Stations are slow here, so that many an Accept is decided before a change and would leave after it.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.radius.admission.conftest import Campus
from troth.kit.ids import new_id
from troth.pki.revocation import OfCertificate, hold, release
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.following import Follower
from troth.store.unit import Unit
from troth.trust.connecting.journal import Journal
from troth.trust.decision.decide import Judge
from troth.trust.model import Outcome
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore


@dataclass
class Worker:
    """One decision point, with a stream, a table and a journal of its own."""

    follower: Follower
    admissions: Admissions
    journal: Journal
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, campus: Campus, root: Path) -> Worker:
        database, clock = campus.trust.database, campus.trust.clock
        cache = PolicyCache(PolicyStore(database))
        judge = Judge(cache, [StoredFacts(SubjectStore(database)), SignalFacts(database, clock)], clock)
        follower = Follower(database, judge, clock, new_id(), poll_seconds=0.05)
        journal = Journal.open(root)
        made = cls(follower, Admissions(follower.decider, cache, journal, clock), journal)
        ready = asyncio.Event()
        made.task = asyncio.create_task(follower.run(made.stop, ready.set))
        async with asyncio.timeout(120):
            await ready.wait()
        return made

    async def end(self) -> None:
        self.stop.set()
        assert self.task is not None
        await self.task
        await self.journal.close()


@dataclass
class Trials:
    """What may leave now, by what is effective, and what has left."""

    campus: Campus
    certificate: UUID
    best: Outcome = Outcome.ALLOW
    accepts: int = 0
    wrong: list[str] = field(default_factory=list)

    async def knock(self, admissions: Admissions, chance: random.Random) -> None:
        """One attempt, as the server makes it."""
        attempt = await self.campus.attempt(self.certificate)
        verdict = await admissions.admit(attempt)
        if verdict is None or not verdict.admitted:
            return
        await admissions.record(attempt, verdict, [])
        await asyncio.sleep(chance.random() * 0.3)  # the round trip to the station
        if admissions.holds(attempt, verdict):
            self.accepts += 1
            if verdict.outcome < self.best:
                self.wrong.append(f"{verdict.outcome.value} though {self.best.value} was effective")


@pytest.mark.chaos
async def test_whatever_changes_and_whichever_worker_begins_anew_nobody_gets_more_than_is_effective(
    campus: Campus, tmp_path: Path
) -> None:
    subject, certificate = await campus.device()
    database, chance = campus.trust.database, random.Random(11)
    workers = [await Worker.begin(campus, tmp_path / "journals") for _ in range(2)]
    trials = Trials(campus, certificate)
    over = asyncio.Event()

    async def knocking(place: int) -> None:
        while not over.is_set():
            await trials.knock(workers[place].admissions, chance)
            await asyncio.sleep(chance.random() * 0.005)

    async def change(unit: Unit) -> None:
        await database.commit(unit)

    def now() -> dict[str, object]:
        return {"cause": "admin:a", "actor": "admin:a", "at": campus.trust.clock.now()}

    changes = (
        (lambda: campus.say(subject, compliant=False), lambda: campus.say(subject, compliant=True), Outcome.QUARANTINE),
        (
            lambda: change(hold(Unit(), OfCertificate(certificate), **now())),  # type: ignore[arg-type]
            lambda: change(release(Unit(), OfCertificate(certificate), **now())),  # type: ignore[arg-type]
            Outcome.DENY,
        ),
        (
            lambda: campus.trust.desk.take(campus.trust.signal("edr.contained", subject)),
            lambda: campus.trust.desk.take(campus.trust.signal("edr.containment_lifted", subject)),
            Outcome.QUARANTINE,
        ),
    )
    tasks = [asyncio.create_task(knocking(place)) for place in (0, 1) * 8]
    # On a busy machine few Accepts leave in a round: then there are more rounds.
    for number in range(60):
        if number >= 6 and trials.accepts > 100:
            break
        worse, better, best = changes[number % 3]
        await worse()
        if number % 4 == 3:  # in the middle of it one begins anew: what it has missed it reads
            await workers[1].end()
            workers[1] = await Worker.begin(campus, tmp_path / "journals")
        await campus.effective()
        trials.best = best
        await asyncio.sleep(chance.random() * 0.1)
        trials.best = Outcome.ALLOW
        await better()
        await asyncio.sleep(0.1)
    over.set()
    await asyncio.gather(*tasks)
    for one in workers:
        await one.end()
    assert trials.wrong == []
    assert trials.accepts > 100
