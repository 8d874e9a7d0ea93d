"""``troth connector test``: does it work, and if not, why? Every read is asked for as little as possible."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from troth.connect.connector import Read
from troth.connect.desk import ConnectorDesk
from troth.connect.errors import SCOPE
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, TrothError

#: From here on messages that carry their own time are refused, or put in a wrong order.
SKEW_ALLOWED: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Probed:
    """One read, asked for as little as possible.

    Attributes:
        scope: what it needs. granted: whether that was granted; None if the question did not get that far.
        code, detail, fix: what went wrong, if something did.
    """

    read: str
    scope: str
    granted: bool | None
    milliseconds: int
    code: str | None = None
    detail: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test found. ``skew``: how far the other clock is ahead of ours; None if it does not tell its time."""

    connector: str
    vendor: str
    address: str
    probes: tuple[Probed, ...]
    skew: timedelta | None

    @property
    def good(self) -> bool:
        """Whether every read works, and the clocks agree."""
        return all(one.code is None for one in self.probes) and (self.skew is None or abs(self.skew) <= SKEW_ALLOWED)


async def examine(desk: ConnectorDesk, clock: Clock, name: str) -> Tested:
    """Test the connector; nothing is written, here or there. Raises ConnectorUnknown, and what keeps it from starting
    (a secret that is missing or of no use)."""
    stored = await desk.find(name)
    made = await desk.opener.open(stored)
    try:
        probes = [await _probe(read, clock) for read in made.connector.reads]
        return Tested(name, made.vendor.title, made.address, tuple(probes), made.skew)
    finally:
        await made.close()


async def _probe(read: Read, clock: Clock) -> Probed:
    began = clock.monotonic()

    def took() -> int:
        return int((clock.monotonic() - began) * 1000)

    try:
        await read.probe()
    except TrothError as error:
        granted = False if error.reason is SCOPE else None
        return Probed(read.name, read.scope, granted, took(), error.code, error.detail, error.reason.fix)
    except Exception as error:  # noqa: BLE001 -- a module that breaks is what this test is for
        return Probed(read.name, read.scope, None, took(), INTERNAL.code, type(error).__name__, INTERNAL.fix)
    return Probed(read.name, read.scope, True, took())
