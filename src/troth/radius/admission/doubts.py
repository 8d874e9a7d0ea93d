"""What was told of and is not read again yet, in the order of being told, and who waits for it.

Each telling has a *turn*. Whoever reads the database notes the turn at which the read began; what was told of after
that turn may not be in what was read, and stays in doubt.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from troth.radius.admission.waiting import Waiting


class Doubts:
    """See the module. Belongs to one event loop."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        #: Set when something is to be read.
        self.wanted = asyncio.Event()
        self._told: OrderedDict[bytes, int] = OrderedDict()
        #: To be read again soon, though what is held may be relied on meanwhile.
        self._aging: dict[bytes, None] = {}
        self._turn = 0
        self._reading = 0

    def __len__(self) -> int:
        return len(self._told)

    def __contains__(self, key: bytes) -> bool:
        return key in self._told

    @property
    def reading(self) -> bool:
        """Whether a read is going on: then even what is told of strangers counts, they may be in it."""
        return self._reading > 0

    def tell(self, key: bytes) -> None:
        """``key`` is to be read again before anybody relies on it."""
        self._turn += 1
        self._told[key] = self._turn
        self.wanted.set()

    def refresh(self, key: bytes) -> None:
        """``key`` is worth reading again, and can be relied on until then."""
        self._aging[key] = None
        self.wanted.set()

    def begin(self) -> int:
        """A read begins: its turn."""
        self._reading += 1
        return self._turn

    def end(self, held: Callable[[bytes], bool]) -> None:
        """A read is over. What was told of somebody who is not ``held`` need not be remembered any more."""
        self._reading -= 1
        if not self._reading:
            for key in [one for one in self._told if not held(one)]:
                self.settle(key)

    def settle(self, key: bytes, turn: int | None = None) -> None:
        """``key`` was read, beginning at ``turn``; None: it is gone."""
        self._aging.pop(key, None)
        if turn is None or self._told.get(key, 0) <= turn:
            self._told.pop(key, None)
            self.waiting.wake(key)

    def first(self, limit: int) -> list[bytes]:
        """What is to be read, that which somebody waits for before the rest."""
        return [*islice(self._told, limit), *islice(self._aging, limit)][:limit]

    async def settled(self, key: bytes, told: bytes, seconds: float) -> bool:
        """Wait for ``key``, and have ``told`` (the same, or the id under which it was told of) read soon."""
        if told in self._told:
            self._told.move_to_end(told, last=False)
        self.wanted.set()
        return await self.waiting.until(key, seconds)
