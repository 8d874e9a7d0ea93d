"""Looking on while a test's own wires exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from troth.store.wire import Ask, Outcome, Wire

#: What a wire does, whoever looks on.
EXCHANGE = Wire.exchange


def look_on(monkeypatch: pytest.MonkeyPatch, noted: Callable[[Wire, Sequence[Ask]], Awaitable[Outcome]]) -> None:
    """Have the exchanges of this event loop done by ``noted``.

    A database that other tests of this process share lives in a loop and a thread of its own; it may be waking
    somebody just now, and that is none of this test's business.
    """
    loop = asyncio.get_running_loop()

    async def exchange(wire: Wire, asks: Sequence[Ask]) -> Outcome:
        return await (noted if asyncio.get_running_loop() is loop else EXCHANGE)(wire, asks)

    monkeypatch.setattr(Wire, "exchange", exchange)
