"""What was said about nobody we know, or about several: kept, counted, listed, and taken again once a person has said
whom it means.

A person's word on a name (an alias of source ``person:<name>``) comes before every other source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.intake.inbox_store import SIGNALS_CHANNEL, Waiting
from troth.trust.intake.retaking import retake
from troth.trust.intake.unresolved_store import Stranger, Unresolved
from troth.trust.signals import alias_store, signal_store
from troth.trust.signals.alias_store import Alias
from troth.trust.signals.codec import decode
from troth.trust.signals.errors import SUBJECT_UNKNOWN, UNRESOLVED_GONE, SignalError, SubjectUnknown
from troth.trust.signals.model import alias_value

#: Signals of one name that are taken again at once; the others follow with the next word.
_AT_ONCE: Final = 1_000
_LOOKED_AT: Final = 100
#: Names that are compared to the letter: those that the directory has.
_EXACT: Final = frozenset({"serial", "id", "certificate", "certificate.sha256", "name.user", "name.device",
                           "name.workload"})  # fmt: skip
KEEP_STRANGERS: Final = timedelta(days=30)
#: Names that cannot be bound to anyone else than they say.
_FIXED: Final = frozenset({"id", "certificate", "certificate.sha256"})


@dataclass(frozen=True, slots=True)
class Bound:
    """What a person's word did: the name, and how many signals are taken again."""

    system: str
    value: str
    subject_id: UUID
    signals: int


class UnresolvedDesk:
    """Signals and reports that mean nobody we know."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked_at: UUID | None = None

    async def signals(self, *, before: UUID | None = None, limit: int = 50) -> Sequence[Unresolved]:
        """Signals, the newest first."""
        return await unresolved_store.unresolved(self._database, before=before, limit=limit)

    async def strangers(self, *, before: datetime | None = None, limit: int = 50) -> Sequence[Stranger]:
        """Whom reports speak of and nobody knows, the latest first."""
        return await unresolved_store.strangers(self._database, before=before, limit=limit)

    async def refused(
        self, feed: str | None = None, *, before: UUID | None = None, limit: int = 50
    ) -> Sequence[Waiting]:
        """Signals that were refused after they had been accepted, the newest first."""
        return await inbox_store.refused(self._database, feed, before=before, limit=limit)

    async def bind(self, signal_id: UUID, subject_id: UUID, *, actor: str, joined: Unit | None = None) -> Bound:
        """Say that what the signal names is this subject, and take all signals again that name the same.

        Raises SignalError (``signal.unresolved_gone``) if somebody has settled it, SubjectUnknown.
        """
        one = await unresolved_store.find(self._database, signal_id)
        if one is None:
            raise _gone(signal_id)
        return await self.bind_name(one.system, one.value, subject_id, actor=actor, joined=joined, wanted=one)

    async def bind_name(
        self,
        system: str,
        value: str,
        subject_id: UUID,
        *,
        actor: str,
        joined: Unit | None = None,
        wanted: Unresolved | None = None,
    ) -> Bound:
        """Say whom a name of another system means. Raises SubjectUnknown, SignalError."""
        at = self._clock.now()
        subject = await signal_store.find_subject(self._database, subject_id)
        if subject is None:
            raise SubjectUnknown(SUBJECT_UNKNOWN, f"no subject {subject_id}")
        unit = Unit() if joined is None else joined
        if system not in _FIXED:
            person = f"person:{actor.partition(':')[2] or actor}"
            alias_store.bind_alias(unit, Alias(system, value, subject_id, person, 100, at))
        value = alias_value(system, value) if system not in _EXACT else value
        found = list(await unresolved_store.of_whom(self._database, system, value, limit=_AT_ONCE))
        if wanted is not None and wanted not in found:
            found.append(wanted)
        for one in found:
            unit.guard(unresolved_store.STILL_OPEN, one.signal_id, refuse=_gone(one.signal_id))
            retake(unit, one, by=actor, at=at, subject_id=subject_id)
        unresolved_store.drop_stranger(unit, system, value)
        unit.record(
            Event(
                "alias.bound",
                actor,
                (subject.ref, *(f"signal:{one.signal_id}" for one in found[:20])),
                {"subject_id": str(subject_id), "name": subject.name, "system": system, "value": value,
                 "signals": len(found)},
            )
        )  # fmt: skip
        await self._database.commit(unit)
        self._database.wake(SIGNALS_CHANNEL)
        return Bound(system, value, subject_id, len(found))

    async def set_aside(self, signal_id: UUID, *, actor: str, note: str) -> None:
        """Say that the signal means nobody here; it is listed no more. Raises SignalError if it was settled."""
        unit = Unit().guard(unresolved_store.STILL_OPEN, signal_id, refuse=_gone(signal_id))
        unresolved_store.settle(unit, signal_id, by=actor, subject_id=None, at=self._clock.now())
        unit.record(Event("signal.set_aside", actor, (f"signal:{signal_id}",), {"note": note}))
        await self._database.commit(unit)

    async def retry(self, id: UUID, *, actor: str) -> None:
        """Have a refused signal taken again: its feed may be granted by now what it was not."""
        unit = Unit()
        inbox_store.retry(unit, id, self._clock.now())
        unit.record(Event("signal.retried", actor, (f"signal:{id}",), {"inbox_id": str(id)}))
        await self._database.commit(unit)
        self._database.wake(SIGNALS_CHANNEL)

    async def look_again(self) -> int:
        """Look open ones up once more: the directory may know by now whom they mean. Returns how many are taken again.

        The newest each time (what explains them may have been written while they were acted on), and some of the
        others, so that a worker comes past all of them in time.
        """
        newest = await unresolved_store.unresolved(self._database, limit=_LOOKED_AT)
        others = [] if len(newest) < _LOOKED_AT else await unresolved_store.unresolved(
            self._database, before=self._looked_at or newest[-1].signal_id, limit=_LOOKED_AT
        )  # fmt: skip
        self._looked_at = others[-1].signal_id if len(others) == _LOOKED_AT else None
        found = [*newest, *others]
        unit, taken, at = Unit(), 0, self._clock.now()
        for one in found:
            if len((await alias_store.resolve(self._database.lookups, decode(one.body).whom)).ids) == 1:
                retake(unit, one, by="system:inbox", at=at)
                taken += 1
        if taken:
            await self._database.commit(unit)
            self._database.wake(SIGNALS_CHANNEL)
        return taken

    async def forget(self) -> None:
        """Drop strangers of whom nothing was heard for a month."""
        await unresolved_store.forget_strangers(self._database, self._clock.now() - KEEP_STRANGERS)


def _gone(signal_id: UUID) -> SignalError:
    return SignalError(UNRESOLVED_GONE, f"signal {signal_id}")
