"""Limits without a hot row.

A limit is a meter (GCRA): it says when all that was spent will be refilled, and that is never allowed to lie further
ahead than the limit's window. Each process keeps its meters in memory, so that asking costs nothing; once a second it
adds what it has spent to the table, all keys in one statement, and learns what the others spent. So a limit may be
overstepped by what the processes let through within that second, and by no more: one row a second for each key that
is in use, and not one a request.

A meter that has hardly been used (:attr:`Limit.quiet`) is not written at all: names that are asked for once leave
no row.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from troth.enroll.acme.errors import RATE_LIMITED
from troth.enroll.acme.limit_store import LimitStore
from troth.enroll.acme.problems import AcmeProblem
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.pool import Database

log = get_logger("acme")

_FLUSH_SECONDS = 1.0
_KEPT = 65_536
_ZERO = timedelta()


@dataclass(frozen=True, slots=True)
class Limit:
    """So many within a window, refilled steadily.

    Attributes:
        what: in words, for whoever meets it: ``new orders of this account``.
        most: how many.
        window: within how long; all of them may be spent at once.
        quiet: as many are not written down.
    """

    what: str
    most: int
    window: timedelta
    quiet: int = 0

    @property
    def each(self) -> timedelta:
        """After how long one is refilled."""
        return self.window / self.most


@dataclass(slots=True)
class _Meter:
    full_at: datetime
    spent: timedelta = _ZERO  # not in the table yet
    written: bool = False


class Meters:
    """See the module. Belongs to one event loop.

    Args:
        limits: name → limit; what has none is unlimited.
        help_url: a page about limits, linked from refusals; empty: none.
    """

    def __init__(self, database: Database, clock: Clock, limits: Mapping[str, Limit], *, help_url: str = "") -> None:
        self._store = LimitStore(database)
        self._clock = clock
        self._limits = dict(limits)
        self._help = ((b"link", f'<{help_url}>;rel="help"'.encode()),) if help_url else ()
        self._meters: OrderedDict[str, _Meter] = OrderedDict()
        self._dirty: set[str] = set()
        self._refused: dict[str, int] = {}
        self._flushing: asyncio.Task[None] | None = None

    def limited(self, name: str) -> bool:
        """Whether there is such a limit."""
        return name in self._limits

    def take(self, charges: Iterable[tuple[str, str]]) -> None:
        """Spend one of each (limit, whose), or of none. Raises AcmeProblem (rateLimited) with Retry-After."""
        now, taken = self._clock.now(), []
        for name, whose in charges:
            limit = self._limits.get(name)
            if limit is None:
                continue
            key = f"{name}:{whose}"
            meter = self._meters.get(key)
            full_at = now if meter is None else max(meter.full_at, now)
            over = full_at + limit.each - now - limit.window
            if over > _ZERO:
                self.count(name)
                raise self._limited(limit, over)
            taken.append((key, limit, full_at))
        for key, limit, full_at in taken:
            self._spend(key, limit, full_at)
        self._soon()

    def count(self, name: str) -> None:
        """Count a refusal by the limit ``name``, for metrics."""
        self._refused[name] = self._refused.get(name, 0) + 1
        self._soon()

    def _soon(self) -> None:
        if (self._dirty or self._refused) and self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_soon())

    def _spend(self, key: str, limit: Limit, full_at: datetime) -> None:
        meter = self._meters.pop(key, None) or _Meter(full_at)
        each = limit.each
        meter.full_at = full_at + each
        meter.spent += each
        self._meters[key] = meter
        if meter.written or meter.spent > limit.quiet * each:
            self._dirty.add(key)
        if len(self._meters) > _KEPT:
            # The one that was quiet longest; what it has not written yet is all that is lost of it.
            dropped, _ = self._meters.popitem(last=False)
            self._dirty.discard(dropped)

    def _limited(self, limit: Limit, over: timedelta) -> AcmeProblem:
        seconds = int(over.total_seconds()) + 1
        detail = f"too many {limit.what}: {limit.most} are allowed within {_words(limit.window)}"
        headers = ((b"retry-after", str(seconds).encode()), *self._help)
        return AcmeProblem(RATE_LIMITED, detail, headers=headers)

    async def flush(self) -> None:
        """Write what was spent, and learn what the others have spent."""
        await self._tell()
        dirty, self._dirty = self._dirty, set()
        spent = {key: meter.spent for key in dirty if (meter := self._meters.get(key)) is not None}
        if not spent:
            return
        for key in spent:
            self._meters[key].spent = _ZERO
        try:
            found = await self._store.spend(spent, self._clock.now())
        except StoreError as error:
            log.warning("acme.meters_postponed", error=str(error))
            for key, amount in spent.items():
                if key in self._meters:
                    self._meters[key].spent += amount
                    self._dirty.add(key)
            return
        for key, full_at in found.items():
            meter = self._meters.get(key)
            if meter is not None:
                meter.full_at, meter.written = full_at + meter.spent, True

    async def _tell(self) -> None:
        refused, self._refused = self._refused, {}
        if not refused:
            return
        try:
            await self._store.refused(refused)
        except StoreError as error:
            log.warning("acme.refusals_uncounted", error=str(error))

    async def close(self) -> None:
        """Write what is left."""
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await self.flush()

    async def _flush_soon(self) -> None:
        try:
            while self._dirty or self._refused:
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush()
        finally:
            self._flushing = None


def _words(window: timedelta) -> str:
    seconds = int(window.total_seconds())
    for size, one, name in ((86_400, "a day", "days"), (3600, "an hour", "hours"), (60, "a minute", "minutes")):
        if seconds % size == 0:
            return one if seconds == size else f"{seconds // size} {name}"
    return f"{seconds} seconds"


def registered_domain(name: str, suffixes: frozenset[str] = frozenset()) -> str:
    """The domain that a DNS name counts for: one label below a known suffix, else its last two labels.

    Private names are in no public list, so an operator names the suffixes below which each department has its own.
    """
    labels = name.removeprefix("*.").split(".")
    for place in range(1, len(labels)):
        if ".".join(labels[place:]) in suffixes:
            return ".".join(labels[place - 1 :])
    return ".".join(labels[-2:])
