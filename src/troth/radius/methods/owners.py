"""Whether the device of an address owns a certificate with which it could join: then nobody comes by its address alone.

A device that has joined with its certificate is known by that (:class:`troth.radius.methods.desk.Certified`). One that
has not is known by its records: the directory's device of that name, or one of which a feed or a person has told the
address (``mac``). They are asked when somebody comes by that address, for all who come at once, within a bounded time;
what was read is good for some seconds.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.methods import store
from troth.store.errors import StoreError
from troth.store.unit import Reader

log = get_logger("radius")

#: Seconds for which an answer is good; that somebody waits for one.
_FRESH: Final = 10.0
PATIENCE: Final = 1.0
#: Addresses of which the answer is remembered, in case no newer one is to be had.
_KEPT: Final = 50_000
#: Of one read.
_MOST: Final = 500


class Owners:
    """See the module. Belongs to one event loop.

    Args:
        profiles: of certificates that any network admits, now.
    """

    def __init__(
        self, reader: Reader, clock: Clock, profiles: Callable[[], frozenset[str]], *, patience: float = PATIENCE
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._profiles = profiles
        self._patience = patience
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[bool]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def owns(self, address: str) -> bool | None:
        """Whether the device of that canonical address owns one; None: that cannot be said in time."""
        known = self._known.get(address)
        if known is not None and self._clock.monotonic() - known[1] < _FRESH:
            return known[0]
        waiting = self._wanted.get(address)
        if waiting is None:
            waiting = self._wanted[address] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        done, _ = await asyncio.wait([waiting], timeout=self._patience)
        if done and not waiting.cancelled():
            return waiting.result()
        # In an outage of the database what was true before is: whoever was never seen here waits for its end.
        return known[0] if known is not None else None

    async def _read(self) -> None:
        """Answer all who wait, until nobody does."""
        while self._wanted:
            wanted = dict(list(self._wanted.items())[:_MOST])
            for address in wanted:
                del self._wanted[address]
            try:
                found = await store.owners(self._reader, list(wanted), sorted(self._profiles()), self._clock.now())
            except StoreError as error:
                log.warning("mab.owners_unread", error=str(error), addresses=len(wanted))
                for one in wanted.values():
                    one.cancel()
                continue
            now = self._clock.monotonic()
            for address, one in wanted.items():
                self._known[address] = address in found, now
                self._known.move_to_end(address)
                if not one.done():
                    one.set_result(address in found)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
