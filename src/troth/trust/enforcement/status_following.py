"""The moment *status* at once: what the ledger tells of a subject has its certificates judged anew.

Followed are changes of what a rule can read: the directory, facts, signals' causes, standings, exemptions, certificates
that are new, and the policies themselves. What is missed, being told while this process did not listen, and what time
alone brings about, the round of the next minute sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.store.pool import Database
from troth.trust.enforcement.status_judging import ACTOR, Round, StatusJudge
from troth.trust.vocabulary import GATHERED_ROOTS

log = get_logger("trust")

#: First words of the events that are about a certificate, or about what is known of subjects.
_ROOMS: Final = frozenset({"certificate", "standing", "subject", "fact", "cause", "exemption"})
#: After these, everything is judged anew.
_WHOLE: Final = frozenset({"policy.applied", "enforcement.unfrozen"})
_SUBJECT: Final = "subject:"
#: Subjects that are looked at in one go.
_AT_ONCE: Final = 500
_RETRY_SECONDS: Final = 1.0


class StatusFollower:
    """Run by the worker; a second one does no harm."""

    def __init__(self, database: Database, clock: Clock, duty: StatusJudge) -> None:
        self._database = database
        self._clock = clock
        self._duty = duty

    async def run(self, stop: asyncio.Event) -> None:
        """Follow from the end of the log, until ``stop`` is set."""
        while not stop.is_set():
            try:
                place = (await LedgerStore(self._database).head()).size
                stream = Stream(self._database, self._clock)
                async for batch in stream.follow(place, stop, self._rooms):
                    await self.taken(batch.events)
            except TrothError as error:
                log.warning("policy.status_interrupted", code=error.code, detail=error.detail)
            except Exception:
                log.exception("policy.status_failed")
            await until_set(stop, _RETRY_SECONDS)

    async def taken(self, events: Iterable[StreamEvent]) -> Round:
        """Judge what ``events`` have changed."""
        whole, touched = False, set[UUID]()
        for event in events:
            if event.kind == "policy.applied":
                await self._duty.refresh()
            whole = whole or event.kind in _WHOLE
            if self._matters(event):
                touched |= {UUID(ref.removeprefix(_SUBJECT)) for ref in event.subjects if ref.startswith(_SUBJECT)}
        if whole:
            return await self._duty.run_once()
        done = Round()
        waiting = sorted(touched)
        for start in range(0, len(waiting), _AT_ONCE):
            done += await self._duty.run_of(waiting[start : start + _AT_ONCE])
        return done

    def _rooms(self) -> frozenset[str]:
        """What is of interest: little, where no policy speaks of status."""
        return _ROOMS | {"policy", "enforcement"} if self._duty.asked else frozenset({"policy"})

    def _matters(self, event: StreamEvent) -> bool:
        # What a hold of ours changes of a certificate must not have it judged anew, or two rules could toss it about.
        if event.kind.partition(".")[0] not in _ROOMS or event.actor == ACTOR:
            return False
        if event.kind == "fact.changed":
            return event.data.get("name") in self._paths()
        if event.kind == "fact.reported":
            return not self._paths().isdisjoint(event.data.get("values", ()))
        return True

    def _paths(self) -> frozenset[str]:
        return frozenset(path for policy in self._duty.asked.values() for path in policy.wants(*GATHERED_ROOTS))
