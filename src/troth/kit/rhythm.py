"""How often what nobody asks for is done: every loop that wakes by the clock says so here, once, by name.

Whoever waits for something to be written is told of it (``troth.store.bell``); the clock is for what no telling
reaches, and for leases. Each such period is a :class:`Rhythm`, so that what an idle Troth costs can be added up, and a
test holds the sum (``tests/unit/assembly/test_rhythms.py``).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

Where: TypeAlias = Literal["supervisor", "signer", "web", "status", "radius", "worker"]

_ALL: Final[dict[str, Rhythm]] = {}
#: A tenth more or less, so that many processes do not come to ask in step.
_JITTER: Final = 0.1


class Rhythm:
    """One loop's period. Made at module level.

    Args:
        name: dotted, unique: ``jobs.look``.
        seconds: between two times, if nothing happens.
        where: the roles whose processes do it, each of them.
        statements: of the database, each time; 0 for what looks into memory alone.
    """

    def __init__(self, name: str, seconds: float, *where: Where, statements: float = 1) -> None:
        if name in _ALL:
            raise ValueError(f"there is a rhythm {name} already")
        if seconds <= 0 or not where:
            raise ValueError(f"{name}: how often, and where?")
        self.name = name
        self.seconds = seconds
        self.where = where
        self.statements = statements
        _ALL[name] = self

    def pause(self) -> float:
        """Seconds until the next time."""
        return self.seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 -- jitter, not a secret


def rhythms() -> Iterable[Rhythm]:
    """All that have been imported so far."""
    return tuple(_ALL.values())
