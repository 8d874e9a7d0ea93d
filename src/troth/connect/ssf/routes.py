"""``POST /ssf/receive/{stream}``: push delivery (RFC 8935). 202 when the token is durable, not before.

Whoever does not carry the stream's authorization header learns nothing, not even which streams exist. A token that is
no good is answered with 400 and the code that RFC 8935, 2.4 has for it; what is our own failure with 503, so that it
comes again. A stream of a transmitter that can send no header (Google) is proved by signatures alone.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from troth.connect.ssf.errors import NOT_A_SET, UNAUTHENTICATED, WIRE_CODES, SetRefused, SsfError, refused
from troth.connect.ssf.model import Stream
from troth.connect.ssf.receiver import Taken
from troth.connect.ssf.secevent import MAX_TOKEN, MEDIA_TYPE
from troth.connect.ssf.streams import header_digest
from troth.kit.errors import TrothError
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.trust.feeds.model import is_feed_name

log = get_logger("connect")

_JSON: Final = ((b"content-type", b"application/json"), (b"content-language", b"en"), (b"cache-control", b"no-store"))
_EMPTY: Final = ((b"cache-control", b"no-store"),)
_RETRY: Final = ((b"retry-after", b"30"), (b"cache-control", b"no-store"))
#: A delivery may overtake the transmitter's answer to the request that made the stream: looks, seconds between them.
_LOOKS, _PAUSE = 12, 0.25


class Streams(Protocol):
    """Knows streams."""

    async def find(self, name: str) -> Stream | None:
        """The stream of that name."""
        ...


class Takes(Protocol):
    """Takes tokens in."""

    async def take(self, stream: Stream, token: str) -> Taken:
        """Take ``token`` in; what it returns is durable."""
        ...


class PushDoor:
    """The door for tokens that are pushed."""

    def __init__(self, streams: Streams, receiver: Takes) -> None:
        self._streams = streams
        self._receiver = receiver

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route("/ssf/receive/{}", {"POST": self.receive}, permission="public", max_body=MAX_TOKEN),)

    async def receive(self, request: Request) -> Response:
        """One token. Refusals are answered here; what is unexpected goes to the lane's ``on_error``."""
        name = request.params[0]
        try:
            stream = await self._stream(name, request)
            taken = await self._receiver.take(stream, _token(request))
        except SetRefused as refusal:
            log.info("ssf.push_refused", stream=name[:80], code=refusal.code, client=request.client)
            body = {"err": WIRE_CODES.get(refusal.code, "invalid_request"), "description": refusal.detail}
            status = refusal.reason.status if refusal.reason is UNAUTHENTICATED else 400
            return Response(status, msgspec.json.encode(body), _JSON)
        except (SsfError, TrothError) as error:
            # Nothing was taken, and it is no fault of the token's.
            log.warning("ssf.push_failed", stream=name[:80], code=error.code, detail=error.detail)
            return Response(503, b"", _RETRY)
        log.info("ssf.pushed", stream=name, outcome=taken.outcome.value, again=taken.again)
        return Response(202, b"", _EMPTY)

    async def _stream(self, name: str, request: Request) -> Stream:
        """The stream, if whoever delivers may. Raises SetRefused (``ssf.unauthenticated``)."""
        looks = 0
        while True:
            stream = await self._streams.find(name) if is_feed_name(name) else None
            if stream is None or stream.definition.delivery != "push" or not _carries(stream, request):
                raise refused(UNAUTHENTICATED)
            looks += 1
            if (stream.receiving and stream.audiences) or looks >= _LOOKS:
                return stream
            await asyncio.sleep(_PAUSE)


def _carries(stream: Stream, request: Request) -> bool:
    if not stream.definition.authorization:
        return True
    digest = header_digest(request.headers.get("authorization", ""))
    return any(hmac.compare_digest(digest, one) for one in stream.header_digests)


def _token(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise refused(NOT_A_SET, f"the content type is not {MEDIA_TYPE}")
    try:
        return request.body.decode("ascii")
    except UnicodeDecodeError as error:
        raise refused(NOT_A_SET, "the body is not ASCII") from error
