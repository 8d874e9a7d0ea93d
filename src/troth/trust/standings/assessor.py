"""Assessing in a transaction: the ground is read, the pure function asked, and what changed is written and recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.kit.ids import new_id
from troth.store import jobs
from troth.store.jobs import Job, LeasedJob
from troth.store.unit import Reader, Unit
from troth.trust.feeds import health_store
from troth.trust.signals.causes import HoldCause
from troth.trust.signals.kinds import Shape
from troth.trust.standings import ground_store
from troth.trust.standings.assessment import Assessment, Inputs, Quiet, inputs
from troth.trust.standings.ground_store import Ground
from troth.trust.standings.rules import StandingRules
from troth.trust.standings.scoring import assess
from troth.trust.standings.service import RulesCache

#: The job that looks at a subject again when time alone changes where it stands. Its key is the subject's id.
SETTLE_JOB: Final = "standing.settle"


@dataclass(frozen=True, slots=True)
class Looked:
    """An assessment, with what it was made from."""

    given: Inputs
    outcome: Assessment
    rules: StandingRules
    ground: Ground

    @property
    def changed(self) -> bool:
        """Whether it is worth a record: what is remembered is another, or something is to be done."""
        before = self.ground.state
        return before != self.outcome.state or bool(self.outcome.ended) or self.outcome.propose is not None


async def _silences(reader: Reader, causes: Iterable[HoldCause], at: datetime) -> list[Quiet]:
    fading = [one for one in causes if one.weighs and (one.shape is Shape.EVENT or one.expires_at is not None)]
    if not fading:
        return []
    since = min(one.effective_at or one.observed_at for one in fading)
    found = await health_store.silences(reader, sorted({one.feed for one in fading}), since=since, now=at)
    return [Quiet(one.feed, one.since, one.until) for silences in found.values() for one in silences]


class Assessor:
    """Looks where subjects stand. Holds the rules it has read, nothing else."""

    def __init__(self) -> None:
        self._rules = RulesCache()

    async def rules(self, reader: Reader, version: int) -> StandingRules:
        """The rules of that version."""
        return await self._rules.of(reader, version)

    async def look(
        self,
        reader: Reader,
        subject_id: UUID,
        causes: Iterable[HoldCause],
        at: datetime,
        ground: Ground | None = None,
    ) -> Looked:
        """Where the subject stands with ``causes`` at ``at``; ``ground`` if it has been read already."""
        known = ground if ground is not None else await ground_store.ground(reader, subject_id, at)
        rules = await self._rules.of(reader, known.rules_version)
        causes = tuple(causes)
        return self.weigh(causes, at, known, rules, await self.silences(reader, causes, at))

    def weigh(
        self,
        causes: Iterable[HoldCause],
        at: datetime,
        ground: Ground,
        rules: StandingRules,
        silent: Iterable[Quiet],
    ) -> Looked:
        """The same, with everything read already."""
        given = inputs(causes, ground.state, at, silent=silent, exempt_until=ground.exempt_until)
        return Looked(given, assess(given, rules), rules, ground)

    async def silences(self, reader: Reader, causes: Iterable[HoldCause], at: datetime) -> list[Quiet]:
        """When the feeds were silent whose words time changes; where there are none, the database is not asked."""
        return await _silences(reader, causes, at)

    def remember(
        self,
        unit: Unit,
        subject_id: UUID,
        looked: Looked,
        *,
        open_causes: int,
        moved: bool,
        trigger: UUID,
        job: LeasedJob | None = None,
    ) -> None:
        """Add the writes of what is remembered, of the record if anything changed, and of the next look.

        ``moved``: the standing is another than before. ``job``: the job in which this is done; it runs again then.
        """
        outcome, version = looked.outcome, looked.ground.rules_version
        at = looked.given.at
        ground_store.put_state(unit, subject_id, outcome, open_causes=open_causes, rules_version=version, at=at)
        if moved or looked.changed:
            ground_store.record(
                unit, new_id(), subject_id, looked.given, outcome, rules_version=version, trigger=trigger
            )
        if job is not None:
            if outcome.next_at is None:
                jobs.finish(unit, job)
            else:
                jobs.postpone(unit, job, outcome.next_at)
        elif outcome.next_at is not None:
            jobs.enqueue(unit, Job(SETTLE_JOB, str(subject_id), outcome.next_at))
