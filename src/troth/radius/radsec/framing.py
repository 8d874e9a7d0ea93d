"""A stream of octets becomes RADIUS packets: by their Length alone (RFC 6613 section 2.6, RFC 6614 section 2.5)."""

from __future__ import annotations

from typing import Final

from troth.radius.radsec.errors import FRAME, FrameRefused

LEAST: Final = 20
MOST: Final = 4096


class Framer:
    """Cuts what arrives into frames. Holds at most one unfinished packet: less than 4096 octets."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def waiting(self) -> int:
        """Octets of a packet whose end has not come yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that ``data`` completes, in their order, each exactly as long as it says.

        Raises FrameRefused where a Length is none that RFC 2865 allows. Nobody can tell where the next packet begins
        then, so the connection must be closed (RFC 6613 section 2.6.4); packets before that place are lost with it.
        """
        whole = self._rest + data if self._rest else data
        found: list[bytes] = []
        at, end = 0, len(whole)
        while end - at >= 4:
            length = int.from_bytes(whole[at + 2 : at + 4], "big")
            if not LEAST <= length <= MOST:
                raise FrameRefused(FRAME, f"the packet at octet {at} of this read says {length} octets")
            if end - at < length:
                break
            found.append(whole[at : at + length])
            at += length
        self._rest = whole[at:]
        return found
