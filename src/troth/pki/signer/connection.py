"""One client of the signer: who it is, what it sent, and how its answers go back.

Nothing is read for a client before the kernel has named its uid (SO_PEERCRED), nothing beyond 1 KiB before it has
proved its role, and nothing at all while it does not fetch its answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from troth.kit.log import get_logger
from troth.pki.signer import handshake, protocol
from troth.pki.signer.errors import HANDSHAKE, MALFORMED, UNAVAILABLE
from troth.pki.signer.roles import ROLES, Role

log = get_logger("pki")

_HANDSHAKE_SECONDS = 5.0
_UCRED = struct.Struct("3i")


class Connection(asyncio.Protocol):
    """A client's connection.

    Args:
        secrets: role → secret.
        allowed_uids: whose processes may speak at all.
        admit: called once at the start; False turns the client away.
        take: called with each request.
        gone: called once at the end.
    """

    def __init__(
        self,
        secrets: Mapping[str, bytes],
        allowed_uids: frozenset[int],
        *,
        admit: Callable[[Connection], bool],
        take: Callable[[Connection, protocol.Request], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self._secrets = secrets
        self._allowed_uids = allowed_uids
        self._admit = admit
        self._take = take
        self._gone = gone
        self._frames = protocol.Frames(protocol.MAX_HANDSHAKE)
        self._nonce = handshake.new_nonce()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.role_name = ""
        self.role: Role | None = None
        self.secret = b""
        self.answers: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A socket's transport reads and writes; uvloop's are no subclass of asyncio's, hence no isinstance.
        stream = self._transport = cast("asyncio.Transport", transport)
        uid = _peer_uid(stream)
        if uid not in self._allowed_uids:
            log.warning("signer.peer_refused", uid=uid)
            stream.abort()
            return
        if not self._admit(self):
            stream.write(protocol.frame(protocol.Failure(0, UNAVAILABLE.code, "too many connections")))
            stream.close()
            return
        self._deadline = asyncio.get_running_loop().call_later(_HANDSHAKE_SECONDS, stream.abort)
        stream.write(protocol.frame(protocol.Hello(protocol.VERSION, self._nonce)))

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            for body in self._frames.feed(data):
                if self.role is None:
                    self._prove(protocol.decode_prove(body))
                    if self.role is None:
                        return
                else:
                    self._take(self, protocol.decode_request(body))
        except (protocol.FrameTooLarge, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            # A peer of ours never sends this, and there may be no number to answer to: the connection ends.
            log.warning("signer.malformed", role=self.role_name, error=str(error))
            self.answers.append(protocol.frame(protocol.Failure(0, MALFORMED.code, MALFORMED.summary)))
            self.flush()
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._gone(self)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def flush(self) -> None:
        """Send the answers that have gathered, in one write."""
        if self.answers and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self.answers))
        self.answers.clear()

    def close(self) -> None:
        """End the connection after what was written."""
        if self._transport is not None:
            self._transport.close()

    def _prove(self, proof: protocol.Prove) -> None:
        role = ROLES.get(proof.role)
        # An unknown role is compared with a secret nobody has, so that it takes as long as a known one.
        secret = self._secrets.get(proof.role) or handshake.new_nonce()
        expected = handshake.client_proof(secret, proof.role, self._nonce, proof.nonce)
        if not handshake.equal(expected, proof.mac) or role is None or len(proof.nonce) != handshake.NONCE_SIZE:
            log.warning("signer.handshake_refused", role=proof.role[:32])
            self.answers.append(protocol.frame(protocol.Failure(0, HANDSHAKE.code, HANDSHAKE.summary)))
            self.flush()
            self.close()
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self.role_name, self.role, self.secret = proof.role, role, secret
        self._frames.limit = role.max_frame
        mac = handshake.server_proof(secret, proof.role, self._nonce, proof.nonce)
        self.answers.append(protocol.frame(protocol.Welcome(mac)))
        self.flush()


def _peer_uid(transport: asyncio.Transport) -> int:
    # uvloop's socket object has no getsockopt, so the descriptor is looked at through a duplicate.
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    with socket.socket(fileno=descriptor) as peer:
        _pid, uid, _gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
