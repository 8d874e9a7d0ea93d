"""The head of an HTTP/1.1 answer, as the lanes write it (``hot``)."""

from __future__ import annotations

import email.utils
import http
from typing import Final

from troth.kit.clock import Clock
from troth.kit.lane import Response

_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in http.HTTPStatus
}


class Dated:
    """The Date header (RFC 9110, 6.6.1), made once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = -1
        self._line = b""

    def __call__(self) -> bytes:
        now = int(self._clock.monotonic())
        if now != self._at:
            self._at = now
            self._line = b"date: " + email.utils.format_datetime(self._clock.now(), usegmt=True).encode() + b"\r\n"
        return self._line


def head_of(response: Response, date: bytes, *, last: bool) -> bytes:
    """Status line and headers. Raises ValueError for a header that would end its line."""
    parts = [_STATUS[response.status], date]
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    if response.status not in (204, 304):  # there it would have to be the length of what is not sent (RFC 9110, 8.6)
        size = len(response.body) + sum(map(len, response.more)) if response.more else len(response.body)
        parts.append(b"Content-Length: %d\r\n" % size)  # so written: there are clients that compare octets
    if last:
        parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    head = b"".join(parts)
    lines = len(response.headers) + 3 + (response.status not in (204, 304)) + last
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise ValueError("a header holds a line end")
    return head
