"""Replaying a new policy before it is applied: over what was decided, and over whoever holds a certificate now.

The fleet is judged on facts of this moment, with the evidence that each certificate was issued on; a connection's own
circumstances (access server, place) nobody knows until it is made, and they are unknown here. Read in pages; the loop
is let go between them, so that the process goes on answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import structs

from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.trust.authoring.replay import Report, Tally
from troth.trust.authoring.replay_store import Held, fleet
from troth.trust.decision.certificate_facts import certificate_facts
from troth.trust.decision.decide import Judge
from troth.trust.decision.judge import judge
from troth.trust.decision.question import Question, clock_values, snapshot
from troth.trust.errors import REPLAY_BUSY, TrustError
from troth.trust.model import FeedState, Moment, Seen, Snapshot, Subject
from troth.trust.policy.compiled import Policy
from troth.trust.policy.store import PolicyStore
from troth.trust.subjects.facts import Observation
from troth.trust.subjects.store import SubjectStore
from troth.trust.vocabulary import GATHERED_ROOTS

PAGE = 250
#: Cases after which others have their turn: some ten milliseconds.
_BREATH = 50

#: The moments at which the fleet is asked: whoever holds a certificate connects with it, and renews it.
_MOMENTS = (Moment.CONNECT, Moment.RENEW)
#: What a connection alone tells, and what the request of then does not tell of now.
_OF_A_CONNECTION = ("request.address", "nas.", "place.", "application.")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a replay looks.

    Attributes:
        decisions: the newest of all decisions that are looked through; 0 leaves the record out.
        certificates: of the fleet, the newest; 0 leaves the fleet out.
    """

    decisions: int = 20_000
    certificates: int = 100_000


class Replay:
    """Compares a policy with what is in force. One at a time in each process."""

    def __init__(self, database: Database, judge: Judge, clock: Clock) -> None:
        self._database = database
        self._decisions = PolicyStore(database)
        self._subjects = SubjectStore(database)
        self._judge = judge
        self._clock = clock
        self._busy = asyncio.Lock()

    async def replay(self, new: Policy, *, bounds: Bounds | None = None) -> Report:
        """What ``new`` would change. Raises TrustError (``policy.replay_busy``) while another is under way."""
        if self._busy.locked():
            raise TrustError(REPLAY_BUSY)
        async with self._busy:
            await self._judge.policies.refresh()
            bounds, tally = bounds or Bounds(), Tally()
            old = {profile: self._judge.policies.governing(profile) for profile in new.profiles}
            fleet_complete = await self._over_fleet(new, old, tally, bounds.certificates)
            record_complete, since = await self._over_record(new, old, tally, bounds.decisions)
            present = self._judge.policies.policies.get(new.name)
            return tally.report(
                new.name, new.version, present.version if present is not None else None,
                fleet_complete=fleet_complete, record_complete=record_complete, since=since,
            )  # fmt: skip

    # --- the record ----------------------------------------------------------------------------------------------

    async def _over_record(
        self, new: Policy, old: Mapping[str, Policy | None], tally: Tally, most: int
    ) -> tuple[bool, datetime | None]:
        before: UUID | None = None
        since: datetime | None = None
        looked = 0
        while looked < most:
            page = await self._decisions.recent(before=before, limit=min(PAGE, most - looked))
            for one in page:
                if one.decision.asked not in old:
                    continue
                present = old[one.decision.asked]
                was = one.decision
                if present is not None and (present.name, present.version) != (was.policy, was.policy_version):
                    # What it is held against is what is in force, not what was in force then.
                    was = judge(present, _told_the_time(one.snapshot, present))
                then = present.paths if present is not None else frozenset[str]()
                after = judge(new, _told_the_time(one.snapshot, new))
                tally.add("recorded", was, after, _unrecorded(new, then, one.snapshot))
            looked += len(page)
            if page:
                before, since = page[-1].decision.id, page[-1].decision.at
            if len(page) < PAGE:
                return True, since
            await asyncio.sleep(0)
        return False, since

    # --- the fleet -----------------------------------------------------------------------------------------------

    async def _over_fleet(self, new: Policy, old: Mapping[str, Policy | None], tally: Tally, most: int) -> bool:
        known = [one for one in old.values() if one is not None]
        moments = [moment for moment in _MOMENTS if any(one.rules_at(moment) for one in (new, *known))]
        paths = frozenset(path for one in (new, *known) for path in one.wants(*GATHERED_ROOTS))
        feeds = await self._judge.feeds_down()
        before: UUID | None = None
        looked = 0
        while looked < most and moments:
            at = self._clock.now()
            # The quarantine profile stands in the place of others; whose, the decision of then says.
            page = await fleet(
                self._database, [*new.profiles, "quarantine"], at, before=before, limit=min(PAGE, most - looked)
            )
            subjects = {one.id: one for one in await self._subjects.by_ids([held.subject_id for held in page])}
            said = await self._said(subjects.values(), paths)
            for place, held in enumerate(page):
                subject = subjects.get(held.subject_id)
                asked = held.made_from.asked if held.made_from is not None else held.certificate.profile
                if subject is None or asked not in old:
                    continue
                if place % _BREATH == 0:
                    await asyncio.sleep(0)
                for moment in moments:
                    question = _question(held, subject, asked, moment, at)
                    whom = (subject.id, *((subject.owner.id,) if subject.owner is not None else ()))
                    observations = [one for identifier in whom for one in said.get(identifier, ())]
                    _compare(question, subject, observations, at, new, old[asked], feeds, tally)
            looked += len(page)
            if len(page) < PAGE:
                return True
            before = page[-1].certificate.id
            await asyncio.sleep(0)
        return not moments

    async def _said(self, subjects: Iterable[Subject], paths: frozenset[str]) -> dict[UUID, list[Observation]]:
        whom = {one.id: one for subject in subjects for one in (subject, subject.owner) if one is not None}
        found: dict[UUID, list[Observation]] = {}
        for one in await self._judge.observations(tuple(whom.values()), paths):
            found.setdefault(one.subject_id, []).append(one)
        return found


def _compare(
    question: Question, subject: Subject, said: list[Observation], at: datetime, new: Policy, old: Policy | None,
    feeds: tuple[FeedState, ...], tally: Tally,
) -> None:  # fmt: skip
    both = structs.replace(question, wants=new.paths)
    taken = snapshot(both, subject, old, said, at, feeds=feeds)
    tally.add("fleet", judge(old, taken), judge(new, _told_the_time(taken, new)), frozenset())


def _question(held: Held, subject: Subject, asked: str, moment: Moment, at: datetime) -> Question:
    roots: dict[str, dict[str, Any]] = {"request": {}, "evidence": {}}
    for seen in held.made_from.values if held.made_from is not None else ():
        root, _, name = seen.path.partition(".")
        if root in roots and not seen.path.startswith(_OF_A_CONNECTION):
            roots[root][name] = seen.value
    return Question(
        moment, asked, (subject,), roots["evidence"], roots["request"],
        certificate=certificate_facts(held.certificate, at),
    )  # fmt: skip


def _told_the_time(taken: Snapshot, policy: Policy) -> Snapshot:
    """``taken`` with the hour in the time zone of ``policy``: it follows from the moment, whatever was recorded."""
    values: dict[str, Seen] = {one.path: one for one in taken.values}
    values |= clock_values(taken.at, policy.time_zone)
    return structs.replace(taken, values=tuple(values[path] for path in sorted(values)))


def _unrecorded(new: Policy, then: frozenset[str], taken: Snapshot) -> frozenset[str]:
    """What ``new`` reads and the policy of then did not: nobody gathered it, so nobody knows whether it was there."""
    had = {one.path for one in taken.values}
    return frozenset(path for path in new.paths - then - had if path.partition(".")[0] in GATHERED_ROOTS)
