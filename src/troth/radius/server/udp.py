"""UDP sockets of one worker: datagrams in, answers out, from the address that was asked.

A server bound to every address of a machine must say in each answer which of them it comes from, or the kernel takes
the one of the route and the access server drops what it did not ask (IP_PKTINFO, RFC 3542 section 6).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

#: (host, port), and for IPv6 flow and scope.
Address: TypeAlias = "tuple[str, int] | tuple[str, int, int, int]"

MAX_DATAGRAM = 4096
#: As many are read before other work has its turn: each may be a handshake, and whoever follows the trust stream must
#: not wait so long that its lease lapses.
_AT_ONCE = 8
_ANCILLARY = 64
_IP_PKTINFO = 8
NO_LOCAL = bytes(20)


class Datagram(msgspec.Struct, frozen=True, gc=False):
    """One packet.

    Attributes:
        socket: which of a place's sockets it came to.
        address: who sent it.
        local: our address and interface as ancillary data has them, filled with zeros to 20 octets.
    """

    socket: int
    data: bytes
    address: Any
    local: bytes = NO_LOCAL


class UdpSockets:
    """The sockets of one place.

    Args:
        sockets: in the same order in each worker.
        everywhere: for each socket, whether it is bound to every address.
    """

    def __init__(self, sockets: Sequence[socket.socket], receive: Callable[[Datagram], None]) -> None:
        self.sockets = tuple(sockets)
        self._wild = [one.getsockname()[0] in ("0.0.0.0", "::") for one in sockets]
        self._six = [one.family == socket.AF_INET6 for one in sockets]
        self._receive = receive
        self.unsent = 0

    def readable(self, which: int) -> None:
        """Take in what has come to one socket."""
        one = self.sockets[which]
        receive = self._receive
        if self._wild[which]:
            for _ in range(_AT_ONCE):
                try:
                    data, ancillary, _, address = one.recvmsg(MAX_DATAGRAM, _ANCILLARY)
                except (BlockingIOError, InterruptedError):
                    return
                receive(Datagram(which, data, address, _local(ancillary)))
            return
        for _ in range(_AT_ONCE):
            try:
                data, address = one.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            receive(Datagram(which, data, address))

    def send(self, datagram: Datagram, answer: bytes) -> None:
        """Answer ``datagram``. What the kernel does not take is lost: the access server asks again."""
        which = datagram.socket
        try:
            if self._wild[which] and datagram.local != NO_LOCAL:
                self.sockets[which].sendmsg([answer], [self._from(which, datagram.local)], 0, datagram.address)
            else:
                self.sockets[which].sendto(answer, datagram.address)
        except OSError:
            self.unsent += 1

    def _from(self, which: int, local: bytes) -> tuple[int, int, bytes]:
        if self._six[which]:
            return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local
        # in_pktinfo: interface, the source to send from, the header's destination. The interface is the route's.
        return socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + local[4:8] + bytes(4)


def _local(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)):
            # IPv4: interface, ipi_spec_dst (our address), ipi_addr. IPv6: our address, interface.
            return data.ljust(20, b"\0")
    return NO_LOCAL
