"""What a worker counts, added to the database once a second: counters that only grow, for pages and metrics.

On the way of a packet counting is one addition in memory; here the differences since the last time are written down. A
name is words of ours, joined by ``|``: what they mean is said in ``troth.status.radius_metrics``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from troth.kit.log import get_logger
from troth.radius.sessions import inbox_store
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

_SECONDS = 1.0


class Tally:
    """Belongs to one event loop.

    Args:
        gather: what has been counted since this process began, by name.
    """

    def __init__(self, database: Database, gather: Callable[[], Mapping[str, int]]) -> None:
        self._database = database
        self._gather = gather
        self._told: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set, and once more then."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(_SECONDS):
                    await stop.wait()
            except TimeoutError:
                await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Write what is new; what cannot be written now is kept."""
        counted = dict(self._gather())
        new = {name: number - self._told.get(name, 0) for name, number in counted.items()}
        unit = Unit()
        inbox_store.count(unit, new)
        if not unit.writes:
            return
        try:
            await self._database.commit(unit)
        except StoreError as error:
            log.warning("radius.counts_postponed", error=str(error))
            return
        self._told = counted


def named(prefix: str, counts: Mapping[Any, int]) -> dict[str, int]:
    """``counts``, by a word or a tuple of words, under names that begin with ``prefix``."""
    return {
        "|".join((prefix, *([key] if isinstance(key, str) else [one.replace("|", "/") for one in key]))): number
        for key, number in counts.items()
    }
