"""TLS messages that are longer than one EAP packet, in both directions (RFC 5216, 2.1.5 and 3.1)."""

from __future__ import annotations

from troth.radius.eap.errors import FRAGMENTS, TOO_LONG, EapRefused
from troth.radius.eap.frames import MORE, TlsFrame, tls_request

#: No chain that TLS itself would take is longer; a length that says so is refused before anything is kept.
MAX_MESSAGE = 65_536
_HEAD, _FLOOR = 10, 64


def fragment_size(configured: int, framed_mtu: int) -> int:
    """Octets of TLS in a request: ``configured``, or less where the link's Framed-MTU (0: not told) is smaller.

    Ten octets are EAP's header, type, flags and length; below 64 nothing would get through in fifty rounds.
    """
    return max(_FLOOR, min(configured, framed_mtu - _HEAD) if framed_mtu > 0 else configured)


class Incoming:
    """What has arrived of one TLS message of the device."""

    __slots__ = ("_parts", "_received", "_total")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._received = 0
        self._total: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a fragment has come whose message is not complete."""
        return bool(self._parts)

    def add(self, frame: TlsFrame) -> bytes | None:
        """The whole message once ``frame`` completes it, None while fragments are missing.

        Raises EapRefused: the message is too long, says two lengths, or does not have the length that it said. The
        length is required where there are fragments, and may stand where there are none (RFC 9190, 2.1.9).
        """
        if frame.total is not None:
            if frame.total > MAX_MESSAGE:
                raise EapRefused(TOO_LONG, f"a TLS message of {frame.total} octets is announced")
            if self._total not in (None, frame.total) or (self._parts and self._total is None):
                raise EapRefused(FRAGMENTS, "a later fragment announces another length")
            self._total = frame.total
        elif frame.more and self._total is None:
            raise EapRefused(FRAGMENTS, "the first fragment does not announce the length")
        if frame.more and not frame.data:
            raise EapRefused(FRAGMENTS, "a fragment without content")
        received = self._received + len(frame.data)
        if self._total is not None and (received > self._total or (not frame.more and received < self._total)):
            raise EapRefused(FRAGMENTS, f"{received} octets came of a TLS message of {self._total}")
        if frame.more:
            self._received = received
            self._parts.append(frame.data)
            return None
        if not self._parts:
            self._total = None
            return frame.data
        whole = b"".join((*self._parts, frame.data))
        self._parts, self._received, self._total = [], 0, None
        return whole


class Outgoing:
    """What is left of one TLS flight to the device."""

    __slots__ = ("_at", "_data", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._data = b""
        self._at = 0

    def load(self, data: bytes) -> None:
        """Begin with a flight; the one before is gone."""
        self._data, self._at = data, 0

    @property
    def left(self) -> bool:
        """Whether a fragment is still to be sent."""
        return self._at < len(self._data)

    def next(self, identifier: int) -> bytes:
        """The EAP request with the next fragment. The length stands in the first of several, never in an only one."""
        start = self._at
        part = self._data[start : start + self._size]
        self._at = end = start + len(part)
        if start == 0 and end == len(self._data):
            return tls_request(identifier, part)
        flags = MORE if end < len(self._data) else 0
        return tls_request(identifier, part, flags, len(self._data) if start == 0 else None)
