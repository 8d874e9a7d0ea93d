"""The recovery fence: after a restore that may lack something, nothing is vouched for until a person decides.

What a restored database lacks it cannot know: a certificate issued after the backup, and worse, a revocation. So while
the fence is closed

* nothing is issued, but for Troth's own responders and listeners (their keys are made here and now);
* OCSP says ``revoked`` of what is known to be, and of everything else ``tryLater``. Not ``good``: the revocation may be
  what was lost. Not ``unknown`` for a serial number that is not here: RFC 6960, 2.2, lets clients take that for "ask
  another source", and it would be a lie of a certificate that we issued and forgot. ``tryLater`` (2.3) is what is true;
* CRLs go on, since a CRL that lapses closes everything; they hold all that is known and never less than the last one.

A person then chooses. *Accept*: what is known is what there is. *Revoke*: whatever was issued in the unknown interval
is revoked. Its serial numbers are not here, but a serial number carries the millisecond of its making, so OCSP answers
``revoked`` (cessationOfOperation) for each unknown one of that interval, for ever. A CRL cannot list what nobody knows.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.pki.errors import FENCE_OPEN, FENCED, Fenced
from troth.pki.fence_store import IS_CLOSED, SETTLE, FenceRow, FenceState, read_fence
from troth.pki.ports import Interlock
from troth.pki.serial import LENGTH, made_at
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

CACHE_SECONDS = 1.0
#: Clocks of those who issued may have been this far from ours.
_SKEW = timedelta(seconds=30)


class FenceInterlock:
    """An :class:`troth.pki.ports.Interlock` that holds only while the fence is open, and then asks ``inner``."""

    def __init__(self, inner: Interlock, reader: Reader, clock: Clock) -> None:
        self._inner = inner
        self._reader = reader
        self._clock = clock
        self._row = FenceRow()
        self._read_at: float | None = None
        self._busy = asyncio.Lock()

    async def ensure(self) -> None:
        """Raises Fenced, and what ``inner`` and the database raise: a fence that cannot be read is closed."""
        if not self._fresh():
            async with self._busy:
                if not self._fresh():
                    asked, self._read_at = self._clock.monotonic(), None
                    self._row = await read_fence(self._reader)
                    self._read_at = asked
        if self._row.closed:
            raise Fenced(FENCED, self._row.reason)
        await self._inner.ensure()

    def _fresh(self) -> bool:
        return self._read_at is not None and self._clock.monotonic() - self._read_at <= CACHE_SECONDS


def in_doubt(row: FenceRow, serial: bytes) -> bool:
    """Whether a serial number that is not here may have been issued in the unknown interval."""
    if row.unknown_from is None or row.unknown_until is None or len(serial) != LENGTH:
        return False
    made = made_at(serial, row.unknown_until)
    return row.unknown_from - _SKEW <= made <= row.unknown_until + _SKEW


async def settle(
    database: Database, *, choice: FenceState, actor: str, why: str, at: datetime, joined: Unit
) -> FenceRow:
    """Open the fence: ``accepted`` or ``revoked``, in one commit with ``joined``. Raises Fenced when it is not closed
    (any more)."""
    row = await read_fence(database)
    unit = Unit().guard(IS_CLOSED, True, refuse=Fenced(FENCE_OPEN), key="recovery_fence")
    unit.write(SETTLE, choice, at, actor, why)
    unit.record(
        Event(
            "recovery.decided",
            actor,
            (),
            {
                "choice": choice,
                "why": why,
                "closed_because": row.reason,
                "unknown_from": None if row.unknown_from is None else row.unknown_from.isoformat(),
                "unknown_until": None if row.unknown_until is None else row.unknown_until.isoformat(),
            },
        )
    )
    await database.commit(unit.absorb(joined))
    return await read_fence(database)
