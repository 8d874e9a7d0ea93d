"""Packets that came to the wrong process of this machine, sent on to the right one over Unix datagrams.

Where the kernel does not know whose a packet is (``steering``), it chooses a socket by the addresses of both ends. A
conversation belongs to the process that holds its TLS state, which its State names; and what one access server asks
from one port must not all be one process's work. The frame keeps from where a packet came, on which of a
place's sockets, and to which of our addresses, so that the owner answers from its own socket with the address that was
asked.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from struct import Struct
from typing import Literal, TypeAlias

from troth.radius.server.udp import Datagram

#: version, 1 for a new conversation, who sends, on which socket, port, scope, address, and our own address.
_HEAD = Struct("!BBBBHI16s20s")
_VERSION = 1
MAX_FRAME = _HEAD.size + 4096

#: What became of a packet: nobody is there any more, or somebody who has too much to do.
Sent: TypeAlias = Literal["sent", "full", "gone"]


@dataclass(frozen=True, slots=True)
class Handed:
    """A packet from another worker's socket.

    Attributes:
        new: it begins a conversation.
        sender: the worker that it came to.
    """

    datagram: Datagram
    new: bool
    sender: int


class Handover:
    """One worker's mailbox, and the way to the others'.

    Args:
        directory: where each worker's mailbox is bound under its number.
    """

    def __init__(self, number: int, mailbox: socket.socket, directory: str) -> None:
        self._number = number
        self._mailbox = mailbox
        self._directory = directory

    def fileno(self) -> int:
        """For the event loop."""
        return self._mailbox.fileno()

    def send(self, to: int, datagram: Datagram, *, new: bool) -> Sent:
        """Hand ``datagram`` to worker ``to``."""
        host, port, *scope = datagram.address
        head = _HEAD.pack(
            _VERSION,
            new,
            self._number,
            datagram.socket,
            port,
            scope[1] if scope else 0,
            _packed(host),
            datagram.local,
        )
        try:
            self._mailbox.sendto(head + datagram.data, os.path.join(self._directory, str(to)))
        except (FileNotFoundError, ConnectionRefusedError):
            return "gone"
        except OSError:
            return "full"
        return "sent"

    def receive(self) -> Handed | None:
        """The next packet; None: there is none just now. Raises ValueError for what no worker has sent."""
        try:
            frame = self._mailbox.recv(MAX_FRAME)
        except (BlockingIOError, InterruptedError):
            return None
        if len(frame) < _HEAD.size or frame[0] != _VERSION:
            raise ValueError("a frame that no worker of this version sends")
        _, new, sender, which, port, scope, address, local = _HEAD.unpack_from(frame)
        return Handed(Datagram(which, frame[_HEAD.size :], _address(address, port, scope), local), bool(new), sender)


def _packed(host: str) -> bytes:
    """16 octets; IPv4 mapped (RFC 4291, 2.5.5.2)."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return bytes(10) + b"\xff\xff" + socket.inet_aton(host)


def _address(packed: bytes, port: int, scope: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if packed.startswith(bytes(10) + b"\xff\xff"):
        return socket.inet_ntoa(packed[12:]), port
    return socket.inet_ntop(socket.AF_INET6, packed), port, 0, scope
