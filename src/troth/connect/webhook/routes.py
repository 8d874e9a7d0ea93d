"""``POST /signals/{feed}``: verify, read, take, answer 202. All that the signal causes is durable before the answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import msgspec

from troth.connect.webhook import body
from troth.connect.webhook.signature import Stamp, verify
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.store.unit import Unit
from troth.trust.feeds.health_store import add_heard
from troth.trust.intake.taking import Receipt
from troth.trust.signals.model import Signal

MAX_BODY = 65_536

log = get_logger("connect")

_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_PROBLEM = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))


class Secrets(Protocol):
    """Knows by which secrets a feed signs."""

    async def secrets(self, name: str) -> tuple[bytes, ...]:
        """The secrets in force; none if there is no such feed."""
        ...


class Desk(Protocol):
    """Takes signals in."""

    async def take(self, signal: Signal, *, joined: Unit | None = None) -> Receipt:
        """Act on ``signal``, and commit ``joined`` with it; what it returns is durable."""
        ...


class WebhookDoor:
    """The door for signed webhooks."""

    def __init__(
        self, secrets: Secrets, desk: Desk, clock: Clock, *, tolerance: timedelta = timedelta(seconds=300)
    ) -> None:
        self._secrets = secrets
        self._desk = desk
        self._clock = clock
        self._tolerance = tolerance

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route("/signals/{}", {"POST": self.receive}, permission="public", max_body=MAX_BODY),)

    async def receive(self, request: Request) -> Response:
        """One message. Refusals are answered here; what is unexpected goes to the lane's ``on_error``."""
        feed = request.params[0]
        try:
            receipt = await self._take(feed, request)
        except TrothError as refusal:
            log.info("signal.refused", feed=feed[:80], code=refusal.code, client=request.client)
            return _refused(refusal.reason, refusal.detail)
        log.info(
            "signal.accepted", feed=feed, signal=str(receipt.signal_id), effects=receipt.effects, again=receipt.again
        )
        return Response(202, msgspec.json.encode(_answer(receipt)), _JSON)

    async def _take(self, feed: str, request: Request) -> Receipt:
        stamp = Stamp.of(request.headers)
        now = self._clock.now()
        verify(stamp, request.body, secrets=await self._secrets.secrets(feed), now=now, tolerance=self._tolerance)
        signal = body.read(request.body, feed=feed, message_id=stamp.message_id, now=now)
        return await self._desk.take(signal, joined=add_heard(Unit(), feed, now))


def _answer(receipt: Receipt) -> dict[str, Any]:
    return {
        "signal_id": str(receipt.signal_id),
        "standing": None if receipt.standing is None else receipt.standing.value,
        "staged": receipt.staged,
        "effects": list(receipt.effects),
    }


def _refused(reason: Reason, detail: str) -> Response:
    return Response(reason.status, problem(reason, detail), _PROBLEM)
