"""Who waits for what: one future for all who wait for the same key, and names that were asked for and are looked up."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import islice
from uuid import UUID

from troth.kit.clock import Clock

#: Names of guests that are remembered, and for how many seconds.
_NAMES, _NAMED_FOR = 10_000, 30.0


class Waiting:
    """Those who wait. Belongs to one event loop."""

    def __init__(self) -> None:
        #: key → its future, and how many wait for it.
        self._futures: dict[bytes, tuple[asyncio.Future[None], int]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    async def until(self, key: bytes, seconds: float) -> bool:
        """Wait for :meth:`wake`; False: not in time."""
        future, count = self._futures.get(key) or (asyncio.get_running_loop().create_future(), 0)
        self._futures[key] = future, count + 1
        try:
            done, _ = await asyncio.wait([future], timeout=seconds)
            return bool(done)
        finally:
            left = self._futures.get(key)
            if left is not None and left[0] is future:
                if left[1] > 1:
                    self._futures[key] = future, left[1] - 1
                else:
                    del self._futures[key]

    def wake(self, key: bytes) -> None:
        """Let those who wait for ``key`` look again."""
        waiting = self._futures.pop(key, None)
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(None)

    def keys(self) -> list[bytes]:
        """What is waited for."""
        return list(self._futures)


class Names:
    """Subjects by name, looked up when they are first asked for. Bounded: a stranger may bear any name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[UUID | None, float]] = OrderedDict()
        self._asked: OrderedDict[bytes, tuple[str, str]] = OrderedDict()

    def find(self, kind: str, name: str) -> UUID | None:
        """The present subject of that kind and name, None: there is none. Raises KeyError until that is known."""
        key = key_of(kind, name)
        found = self._known.get(key)
        if found is None or self._clock.monotonic() - found[1] > _NAMED_FOR:
            self._asked[key] = kind, name
            if len(self._asked) > _NAMES:
                self._asked.popitem(last=False)
            raise KeyError(key)
        return found[0]

    def asked(self, limit: int) -> list[tuple[str, str]]:
        """(kind, name) of those that are to be looked up."""
        return list(islice(self._asked.values(), limit))

    def put(self, kind: str, name: str, found: UUID | None) -> bytes:
        """What a look-up has brought. Returns the key by which it is waited for."""
        key = key_of(kind, name)
        self._known[key] = found, self._clock.monotonic()
        self._known.move_to_end(key)
        if len(self._known) > _NAMES:
            self._known.popitem(last=False)
        self._asked.pop(key, None)
        return key

    def forget(self) -> None:
        """Somebody was made known, renamed or removed: look again."""
        self._known.clear()

    def subjects(self) -> set[bytes]:
        """Ids of those that were found."""
        return {found.bytes for found, _ in self._known.values() if found is not None}


def key_of(kind: str, name: str) -> bytes:
    """By which a name is waited for; no id and no hash looks like it."""
    return f"{kind}:{name}".encode()
