"""The RADIUS attribute State (RFC 2865, 5.24): whose conversation a packet belongs to, without keeping anything.

``version(1) node(1) worker(1) time(4) start(1) random(8) MAC(8)``: 24 octets. Any worker of the node can tell which
worker holds the conversation and hand the packet over. The same token serves a conversation from Start to the end;
until the first TLS octet it is all there is. ``start`` is the identifier of the Start request. The MAC covers the name
of the access server too, so that a State is of no use behind another one.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b

import msgspec

VERSION = 1
LENGTH = 24
_BODY, _MAC = 16, 8


class Token(msgspec.Struct, frozen=True, gc=False):
    """A State that this installation made.

    Attributes:
        node, worker: who holds the conversation.
        made: seconds since 1970, UTC, when the Start was sent.
        start: identifier of the Start request.
    """

    node: int
    worker: int
    made: int
    start: int


class StateMaker:
    """Makes and reads State for one worker. The key is shared by the workers of a node, made before they fork."""

    def __init__(self, key: bytes, *, node: int, worker: int) -> None:
        """``key``: 32 octets. ``node``, ``worker``: 0 to 255. Raises ValueError otherwise."""
        if len(key) < 32 or not 0 <= node <= 255 or not 0 <= worker <= 255:
            raise ValueError("State wants a key of 32 octets, a node and a worker from 0 to 255")
        # With its key in: to copy it costs half of what keying it for each packet would.
        self._keyed = blake2b(key=key[:64], digest_size=_MAC)
        self._head = bytes((VERSION, node, worker))
        self.node, self.worker = node, worker

    def make(self, nas: str, start: int, now: float) -> bytes:
        """A new State for an access server (its name), with the identifier of the Start request."""
        body = self._head + int(now).to_bytes(4, "big") + bytes((start,)) + secrets.token_bytes(8)
        return body + self._mac(body, nas)

    def read(self, state: bytes, nas: str) -> Token | None:
        """What ``state`` says; None when this node did not make it for this access server."""
        if len(state) != LENGTH or state[0] != VERSION:
            return None
        body = state[:_BODY]
        if not hmac.compare_digest(state[_BODY:], self._mac(body, nas)):
            return None
        return Token(body[1], body[2], int.from_bytes(body[3:7], "big"), body[7])

    def _mac(self, body: bytes, nas: str) -> bytes:
        made = self._keyed.copy()
        made.update(body + nas.encode())
        return made.digest()


def holder(state: bytes) -> tuple[int, int] | None:
    """(node, worker) that a State names; None: it is none of this form. Proves nothing: for passing a packet on."""
    return (state[1], state[2]) if len(state) == LENGTH and state[0] == VERSION else None
