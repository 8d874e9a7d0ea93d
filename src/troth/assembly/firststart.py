"""What a data directory needs before Troth can serve: made at the first start, found at every later one.

Runs in the supervisor, with the database migrated and the signer ready, before any other process starts. A part
that is there is left alone, so a start that was broken off is simply made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from troth.assembly.layout import Layout
from troth.assembly.progress import Progress
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.settings import Config


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is known by then."""

    config: Config
    layout: Layout
    state: State
    clock: Clock
    database_url: str
    progress: Progress


Part = Callable[[Start], Awaitable[None]]

#: In order; each needs those before it.
PARTS: Sequence[Part] = ()


async def first_start(start: Start) -> None:
    """Make whatever of :data:`PARTS` is missing."""
    for part in PARTS:
        await part(start)
