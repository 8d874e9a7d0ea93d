"""Requests of ours on one connection, and the replies to them (RFC 6613 section 2.6, RFC 9765 section 4).

Identifiers are of one connection and one direction: what the peer numbers has nothing to do with what we number. The
identifier 0 is left for Status-Server (RFC 6613 section 2.6.5), so that a full connection can still be probed. In
RADIUS/1.1 a token stands in for both. Nothing is ever sent twice: TLS loses nothing, and a reply that does not come
will not come.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from troth.radius.radsec.errors import BUSY, CLOSED, NO_REPLY, ExchangeFailed
from troth.radius.wire.packet import Attribute, Code, Packet
from troth.radius.wire.signing import Protection, encode_request, verify_reply

#: Request → what it may be answered with. Protocol-Error answers everything (RFC 7930 section 4).
REPLIES: Final[Mapping[int, frozenset[int]]] = {
    Code.ACCESS_REQUEST: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE}),
    Code.ACCOUNTING_REQUEST: frozenset({Code.ACCOUNTING_RESPONSE}),
    Code.STATUS_SERVER: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCOUNTING_RESPONSE}),
    Code.DISCONNECT_REQUEST: frozenset({Code.DISCONNECT_ACK, Code.DISCONNECT_NAK}),
    Code.COA_REQUEST: frozenset({Code.COA_ACK, Code.COA_NAK}),
}
IS_REPLY: Final = frozenset().union(*REPLIES.values()) | {Code.PROTOCOL_ERROR}
#: Under way at once where a token numbers them; RADIUS/1.0 has 255.
MOST_TOKENS: Final = 1024


@dataclass(slots=True)
class _Asked:
    code: int
    authenticator: bytes
    reply: asyncio.Future[Packet]


class Exchange:
    """Our requests on one connection. Belongs to one event loop.

    Args:
        send: writes octets to the connection.
        protection: that of the connection.
        require_message_authenticator: of every reply; within TLS nobody is in between, so some peers send none.
    """

    def __init__(
        self, send: Callable[[bytes], None], protection: Protection, *, require_message_authenticator: bool = False
    ) -> None:
        self._send = send
        self._protection = protection
        self._require = require_message_authenticator
        self._asked: dict[bytes, _Asked] = {}
        self._next = 1 if not protection.bare else secrets.randbits(32)
        self._closed = False

    @property
    def under_way(self) -> int:
        """Requests that wait for their replies."""
        return len(self._asked)

    @property
    def protection(self) -> Protection:
        """What hides the values in these packets."""
        return self._protection

    async def request(self, code: int, attributes: Callable[[bytes], Sequence[Attribute]], *, seconds: float) -> Packet:
        """Ask, and wait ``seconds`` for the reply, which is verified.

        ``attributes``: made from the Request Authenticator, under which some are hidden. Raises ExchangeFailed
        (``radsec.busy``, ``radsec.no_reply``, ``radsec.closed``), PacketRefused for what is too long.
        """
        if self._closed:
            raise ExchangeFailed(CLOSED)
        key, authenticator = self._number(code)
        data = encode_request(
            code,
            key[0] if len(key) == 1 else 0,
            attributes(authenticator),
            self._protection,
            authenticator=authenticator,
        )
        asked = _Asked(code, data[4:20], asyncio.get_running_loop().create_future())
        self._asked[key] = asked
        try:
            self._send(data)
            async with asyncio.timeout(seconds):
                return await asked.reply
        except TimeoutError:
            raise ExchangeFailed(NO_REPLY, f"none in {seconds:g} s") from None
        finally:
            # A reply that comes after this has no request, and is not taken for that of another: the number goes to
            # the end of the queue.
            del self._asked[key]

    def take(self, packet: Packet) -> bool:
        """Hand a reply to who waits for it; False: nobody does, or it answers something else.

        Raises PacketRefused for one that does not verify.
        """
        key = packet.authenticator[:4] if self._protection.bare else bytes((packet.identifier,))
        asked = self._asked.get(key)
        if asked is None or asked.reply.done():
            return False
        if packet.code != Code.PROTOCOL_ERROR and packet.code not in REPLIES[asked.code]:
            return False
        # The reserved octets behind a token say nothing (RFC 9765 section 4.1).
        proof = packet.authenticator if self._protection.bare else asked.authenticator
        verify_reply(packet, proof, self._protection, require_message_authenticator=self._require)
        asked.reply.set_result(packet)
        return True

    def close(self, detail: str = "") -> None:
        """Nothing more will come: whoever waits is told."""
        self._closed = True
        for asked in self._asked.values():
            if not asked.reply.done():
                asked.reply.set_exception(ExchangeFailed(CLOSED, detail))

    def _number(self, code: int) -> tuple[bytes, bytes]:
        """The next free number, and the authenticator that goes with it."""
        if self._protection.bare:
            if len(self._asked) >= MOST_TOKENS:
                raise ExchangeFailed(BUSY, f"{MOST_TOKENS} requests are under way")
            while (key := self._next.to_bytes(4, "big")) in self._asked:
                self._next = (self._next + 1) & 0xFFFFFFFF
            self._next = (self._next + 1) & 0xFFFFFFFF
            return key, key + bytes(12)
        if code == Code.STATUS_SERVER:
            if b"\0" in self._asked:
                raise ExchangeFailed(BUSY, "a Status-Server is under way")
            return b"\0", secrets.token_bytes(16)
        if len(self._asked) >= 255:
            raise ExchangeFailed(BUSY, "all 255 identifiers are in use")
        while (key := bytes((self._next,))) in self._asked:
            self._next = self._next % 255 + 1
        self._next = self._next % 255 + 1
        return key, secrets.token_bytes(16)
