"""What receivers send, read with bounds, and how they are answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from troth.connect.ssf.errors import SetRefused
from troth.connect.ssf.transmitter.errors import (
    REQUEST_INVALID,
    SCOPE_MISSING,
    UNAUTHORIZED,
    ReceiverRefused,
    refused,
)
from troth.connect.ssf.transmitter.model import OutStream
from troth.kit.lane import Request, Response
from troth.kit.log import get_logger
from troth.kit.problems import problem

log = get_logger("connect")

JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_PROBLEM: Final = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))
MAX_TEXT = 1_024


def refusal(request: Request, error: ReceiverRefused | SetRefused) -> Response:
    """A refusal as an HTTP answer (RFC 9457), with what RFC 6750, 3 wants beside it."""
    log.info("ssf.receiver_refused", code=error.code, client=request.client, path=request.path)
    headers: list[tuple[bytes, bytes]] = list(_PROBLEM)
    if error.reason is UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="troth"'))
    elif error.reason is SCOPE_MISSING:
        headers.append((b"www-authenticate", b'Bearer realm="troth", error="insufficient_scope", scope="ssf.manage"'))
    return Response(error.reason.status, problem(error.reason, error.detail), headers)


def answer(status: int, body: Any, headers: Sequence[tuple[bytes, bytes]] = JSON) -> Response:
    """``body`` as JSON."""
    return Response(status, msgspec.json.encode(body), headers)


def told_status(stream: OutStream) -> dict[str, str]:
    """A stream's status as its receiver is told it (SSF 1.0, 8.1.2.1)."""
    found = {"stream_id": stream.id, "status": stream.status}
    return found | ({"reason": stream.status_reason} if stream.status_reason else {})


def body_of(request: Request) -> dict[str, Any]:
    """A JSON object without NULs. Raises ReceiverRefused."""
    try:
        found = json.loads(request.body.decode())
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise refused(REQUEST_INVALID, "the body is no JSON") from error
    if not isinstance(found, dict) or b"\\u0000" in request.body:
        raise refused(REQUEST_INVALID, "the body is no JSON object, or holds a NUL")
    return found


def stream_named(request: Request) -> str | None:
    """``stream_id`` in the query, or None. Raises ReceiverRefused."""
    try:
        values = parse_qs(request.query.decode("latin-1"), max_num_fields=8).get("stream_id")
    except ValueError as error:
        raise refused(REQUEST_INVALID, "the query has too many fields") from error
    return values[0] if values else None


def is_stream_id(id: str) -> bool:
    """Whether there may be a stream of that id at all."""
    return 0 < len(id) <= 64 and "\x00" not in id


def text_of(body: Mapping[str, Any], name: str) -> str:
    """The text under ``name``. Raises ReceiverRefused."""
    value = body.get(name)
    if not is_text(value):
        raise refused(REQUEST_INVALID, f"{name} is missing")
    return str(value)


def is_text(value: Any) -> bool:
    """Whether it is a text of a sensible length, without NULs."""
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and "\x00" not in value
