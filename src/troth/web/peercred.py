"""Who is at the other end of a Unix socket: the kernel's word, marked on the request.

A uvicorn protocol that asks ``SO_PEERCRED`` once per connection and puts the uid into ``scope["state"]["peer_uid"]``.
The state of a request is filled by the server alone, so no header can forge it; on TCP the mark is None.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PEER_UID = "peer_uid"
_UCRED = struct.Struct("3i")


def peer_uid(connection: Any) -> int | None:
    """The uid of the process at the other end, or None unless ``connection`` is a Unix stream socket."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    _pid, uid, _gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


class PeerCredProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose requests carry the uid of a Unix peer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel, once."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER_UID: peer_uid(transport.get_extra_info("socket"))}
