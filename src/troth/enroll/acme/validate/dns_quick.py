"""Addresses of a name by the shortest way: one socket, one datagram for each family, and a reader that takes only what
is plain.

A validation asks for addresses and little else, and a DNS library spends more on that than on the rest of the
validation. Plain is: an answer to our very question, without error, not cut short, whose records are all
addresses of that name. Whatever is not (an alias, a name that does not exist, a server that is silent or strange) is
left to the library, which asks again; so nothing is refused here, and nothing is believed that it would not believe.

Against answers of strangers: the socket is connected, so that the kernel takes datagrams from the server's address
alone; its port is the kernel's choice, a new one for each look-up; and the 16 bits of each question are random
(RFC 5452, 4). Message format: RFC 1035, 4.1.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_A, _AAAA, _IN = 1, 28, 1
_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_TAIL = struct.Struct(">HH")
#: Response, standard query, not truncated, no error; authority, recursion and security bits may be as they like.
_FLAGS_MASK, _FLAGS_WANTED = 0xFA0F, 0x8000
_RECURSE = 0x0100
#: The header of a question, but for its number: recursion is desired.
_ASKING = _HEADER.pack(0, _RECURSE, 1, 0, 0, 0)[2:]
_POINTER: Final = b"\xc0\x0c"  # to the name of the question
_LARGEST: Final = 4096
_MOST_RECORDS: Final = 64
#: Datagrams that answer neither question, after which nobody waits any more.
_MOST_STRAY: Final = 32
#: Seconds. A server that is slower is asked by the library, which asks more than once.
_PATIENCE: Final = 1.0


def question(name: str, kind: int) -> bytes | None:
    """The question section that asks for ``kind`` of ``name``; None for what is no host name of ASCII labels."""
    if not name.isascii() or not 0 < len(name) <= 253:
        return None
    labels = name.removesuffix(".").encode("ascii").split(b".")
    if not all(0 < len(label) <= 63 for label in labels):
        return None
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0" + _TAIL.pack(kind, _IN)


def read_answer(message: bytes, asked: bytes, kind: int) -> list[Address] | None:
    """The addresses in ``message``, the answer to question ``asked``; None if it is not plain."""
    try:
        _, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
        if flags & _FLAGS_MASK != _FLAGS_WANTED or questions != 1 or answers > _MOST_RECORDS:
            return None
        at = _HEADER.size + len(asked)
        if message[_HEADER.size : at] != asked:
            return None
        name, size = asked[: -_TAIL.size], 4 if kind == _A else 16
        found: list[Address] = []
        for _ in range(answers):
            if message.startswith(_POINTER, at):
                at += len(_POINTER)
            elif message.startswith(name, at):
                at += len(name)
            else:
                return None
            of, where, _, length = _RECORD.unpack_from(message, at)
            at += _RECORD.size
            octets = message[at : at + length]
            at += length
            if (of, where, len(octets), length) != (kind, _IN, size, size):
                return None
            found.append(IPv4Address(octets) if kind == _A else IPv6Address(octets))
        return found
    except struct.error:
        return None


class _Asked:
    """Both questions under way on one socket."""

    def __init__(self, asking: socket.socket, six: bytes, four: bytes) -> None:
        self._socket = asking
        numbers = os.urandom(4)
        #: By the number of each question: the question, its kind.
        self._open = {numbers[:2]: (six, _AAAA), numbers[2:]: (four, _A)}
        self._found: dict[int, list[Address]] = {}
        self._stray = 0
        self.done: asyncio.Future[list[Address] | None] = asyncio.get_running_loop().create_future()

    def send(self) -> None:
        """Ask. Raises OSError."""
        for number, (asked, _) in self._open.items():
            self._socket.send(number + _ASKING + asked)

    def receive(self) -> None:
        """Take what has come."""
        try:
            while not self.done.done():
                self._take(self._socket.recv(_LARGEST))
        except BlockingIOError:
            return
        except OSError:  # the server's port is closed
            self._end(None)

    def _take(self, message: bytes) -> None:
        number = message[:2]
        if number not in self._open:
            self._stray += 1
            if self._stray > _MOST_STRAY:
                self._end(None)
            return
        asked, kind = self._open.pop(number)
        found = read_answer(message, asked, kind)
        if found is None:
            self._end(None)
            return
        self._found[kind] = found
        if not self._open:
            self._end(self._found[_AAAA] + self._found[_A])

    def give_up(self) -> None:
        """It takes too long."""
        self._end(None)

    def _end(self, found: list[Address] | None) -> None:
        if not self.done.done():
            self.done.set_result(found)


async def quick_addresses(name: str, server: tuple[str, int], source: str | None = None) -> list[Address] | None:
    """The addresses of ``name`` as ``server`` tells them, IPv6 before IPv4; none if it has none.

    None where the library has to ask: what came was not plain, or nothing did.
    """
    six = question(name, _AAAA)
    if six is None:
        return None
    four = six[: -_TAIL.size] + _TAIL.pack(_A, _IN)
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asking:
            if source is not None:
                asking.bind((source, 0))
            asking.connect(server)
            asked = _Asked(asking, six, four)
            loop.add_reader(asking, asked.receive)
            patience = loop.call_later(_PATIENCE, asked.give_up)
            try:
                asked.send()
                return await asked.done
            finally:
                patience.cancel()
                loop.remove_reader(asking)
    except OSError:
        return None
