"""``POST /connect/{vendor}/{connector}``: what others push: verified by the vendor's module, written down, answered.

Nothing is acted on before the answer: senders wait for seconds, and some never send again. Who cannot prove itself
learns nothing, not even which connectors exist.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from troth.connect import connector_store
from troth.connect.connector_store import Stored
from troth.connect.desk import ConnectorDesk
from troth.connect.errors import PUSH_UNAUTHENTICATED, ConnectorError, PushRefused
from troth.connect.vendors import Made
from troth.kit.errors import TrothError
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.store.unit import Unit
from troth.trust.intake.inbox import Inbox

log = get_logger("connect")

MAX_BODY: Final = 1 << 20
_KEPT: Final = 64
#: Seconds after which a connector is opened anew: a former secret ends without anybody's doing.
_REOPENED: Final = 600.0
_PROBLEM: Final = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))


@dataclass
class _Open:
    version: int
    since: float
    made: Made


class PushDoor:
    """The door for what other systems push."""

    def __init__(self, desk: ConnectorDesk, inbox: Inbox) -> None:
        self._desk = desk
        self._inbox = inbox
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = asyncio.Lock()

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane. GET is for handshakes: some vendors ask before they send."""
        methods = {"POST": self.receive, "GET": self.receive}
        return (Route("/connect/{}/{}", methods, permission="public", max_body=MAX_BODY),)

    async def close(self) -> None:
        """Let go of every connector."""
        while self._open:
            await self._open.popitem()[1].made.close()

    async def receive(self, request: Request) -> Response:
        """One message. Refusals are answered here; what is unexpected goes to the lane's ``on_error``."""
        vendor, name = request.params
        try:
            return await self._take(vendor, name, request)
        except TrothError as refusal:
            log.info("connector.push_refused", connector=name[:63], code=refusal.code, client=request.client)
            return Response(refusal.reason.status, problem(refusal.reason, refusal.detail), _PROBLEM)

    async def _take(self, vendor: str, name: str, request: Request) -> Response:
        try:
            stored, made = await self._made(vendor, name)
            pushed = await made.connector.push(request)
        except ConnectorError as error:
            if isinstance(error, PushRefused):
                raise
            # That there is none, that it has no secret: nobody outside is told which.
            log.warning("connector.push_impossible", connector=name[:63], code=error.code, detail=error.detail)
            raise PushRefused(PUSH_UNAUTHENTICATED) from error
        if pushed.signals or pushed.reports or pushed.spoilt or pushed.heartbeat or pushed.due:
            unit = Unit()
            for read in pushed.due:
                connector_store.due(unit, name, read)
            await self._inbox.accept(
                stored.definition.feed, pushed.signals, reports=pushed.reports, spoilt=pushed.spoilt, joined=unit,
                heard=pushed.heartbeat,
            )  # fmt: skip
        return pushed.response

    async def _made(self, vendor: str, name: str) -> tuple[Stored, Made]:
        """The connector at work, kept from message to message until it is changed."""
        stored = await self._desk.find(name)
        if stored.paused or stored.definition.vendor != vendor:
            raise PushRefused(PUSH_UNAUTHENTICATED)
        async with self._lock:
            known = self._open.get(name)
            now = self._desk.clock.monotonic()
            if known is None or known.version != stored.version or now - known.since > _REOPENED:
                made = await self._desk.opener.open(stored)
                if not made.vendor.pushes:
                    await made.close()
                    raise PushRefused(PUSH_UNAUTHENTICATED)
                if known is not None:
                    await known.made.close()
                known = self._open[name] = _Open(stored.version, now, made)
            self._open.move_to_end(name)
            while len(self._open) > _KEPT:
                await self._open.popitem(last=False)[1].made.close()
            return stored, known.made
