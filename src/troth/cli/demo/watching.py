"""Looking at what others see: an independent poller of OCSP, and the time until it sees what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from troth.cli.demo.errors import NOT_AS_TOLD, DemoError
from troth.client.ocsp import Ocsp, OcspAnswer
from troth.kit.clock import Clock

HELD = "revoked (certificateHold)"
#: A hold takes effect within a second; after this long something is wrong.
_PATIENCE = 10.0

T = TypeVar("T")


async def timed(act: Callable[[], Awaitable[T]], ocsp: Ocsp, wanted: str, clock: Clock) -> tuple[T, float]:
    """Do ``act`` while asking OCSP; what it returned, and the milliseconds from before it until OCSP said ``wanted``.

    Raises DemoError when OCSP does not come to say it.
    """
    begun = clock.monotonic()
    watching = asyncio.create_task(_until(ocsp, wanted, clock))
    try:
        done = await act()
        seen = await watching
    finally:
        watching.cancel()
    return done, round((seen - begun) * 1000, 1)


async def _until(ocsp: Ocsp, wanted: str, clock: Clock) -> float:
    begun = clock.monotonic()
    answer = await ocsp.ask()
    while str(answer) != wanted:
        if clock.monotonic() - begun > _PATIENCE:
            raise DemoError(NOT_AS_TOLD, f"OCSP says {answer} after {_PATIENCE:.0f} s, not {wanted}")
        answer = await ocsp.ask()
    return clock.monotonic()


def expect(answer: OcspAnswer, wanted: str) -> None:
    """Raise DemoError unless ``answer`` is ``wanted``."""
    if str(answer) != wanted:
        raise DemoError(NOT_AS_TOLD, f"OCSP says {answer}, not {wanted}")
