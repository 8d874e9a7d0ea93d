"""Requests that come twice: one is worked on, the other gets the same reply (RFC 5080 section 2.2.2).

An access server sends a request again when no answer has come. To work on it twice would break an EAP conversation, and
count an accounting record twice. What makes two datagrams one request is their source, code, identifier and Request
Authenticator, and where they came in. A new authenticator under the same identifier is a new request, which says as
well that nobody waits for the old one any longer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import msgspec

#: RFC 5080 section 2.2.2 wants 5 to 30 seconds.
LEAST_SECONDS: Final = 5.0
MOST_SECONDS: Final = 30.0


class Asked(Enum):
    """What to do with a request to which no reply is kept."""

    NEW = "new"
    """Work on it; its reply goes to :meth:`Duplicates.answered`, or it is :meth:`Duplicates.dropped`."""
    BUSY = "busy"
    """It is worked on already: drop this one without a word."""
    FULL = "full"
    """This client has too many requests open: drop this one, and count it."""
    WITHDRAWN = "withdrawn"
    """What it was answered does not hold any more: drop this one, and count it."""


class Conditional(bytes):
    """A reply that may leave only while ``holds`` says so, the second time as the first.

    The octets of an Accept are kept for seconds; a hold that becomes effective meanwhile must count for whoever asks
    again as well. It is not asked anew what to answer: the device has to begin from the start.
    """

    holds: Callable[[], bool]

    @classmethod
    def of(cls, reply: bytes, holds: Callable[[], bool]) -> Conditional:
        """``reply``, on that condition."""
        made = cls(reply)
        made.holds = holds
        return made


@dataclass(slots=True)
class _Client:
    """The requests of one client (source address), the oldest first, and how many of them are worked on.

    ``due``: none of them expires before.
    """

    kept: OrderedDict[Hashable, Ticket] = field(default_factory=OrderedDict)
    open: int = 0
    due: float = 0.0


class Ticket(msgspec.Struct, eq=False):
    """A request as it is kept: worked on until it has a reply. Only :class:`Duplicates` writes to it.

    Attributes:
        replaced: the authenticator of the one that nobody waits for any longer.
    """

    client: _Client
    slot: Hashable
    authenticator: bytes
    expires: float
    replaced: bytes | None = None
    reply: bytes | None = None

    def __repr__(self) -> str:
        return "Ticket(…)"  # its reply may hold keys


class Duplicates:
    """What has been asked lately, of one process.

    It keeps no more than ``most`` requests for each client, and no reply longer than ``seconds``: a client that asks
    faster pushes out its own oldest replies, never its open requests, and never another client's.

    Args:
        seconds: how long a reply is kept, 5 to 30.
        most: requests of one client that are kept, open and answered ones together.
        clients: sources that are kept; the one that was silent longest goes first.
    """

    def __init__(self, *, seconds: float = 10.0, most: int = 4096, clients: int = 65_536) -> None:
        if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
            raise ValueError("RFC 5080 section 2.2.2 wants 5 to 30 seconds")
        self._seconds = seconds
        self._most = most
        self._most_clients = clients
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def ask(
        self,
        address: str,
        port: int,
        code: int,
        identifier: int,
        authenticator: bytes,
        listener: Hashable,
        *,
        now: float,
    ) -> Ticket | Asked | bytes:
        """What becomes of a request: the reply that it has had, why there is none, or a ticket to work on it.

        ``now``: seconds of a monotonic clock, the same in every call.
        """
        client = self._clients.get(address)
        if client is None:
            client = self._admit(address)
        else:
            self._clients.move_to_end(address)
        if now >= client.due:
            self._expire(client, now)
        slot = (port, code, identifier, listener)
        known = client.kept.get(slot)
        replaced = None
        if known is not None:
            if known.authenticator == authenticator:
                if known.reply is None:
                    return Asked.BUSY
                if isinstance(known.reply, Conditional) and not known.reply.holds():
                    return Asked.WITHDRAWN
                return known.reply
            replaced = known.authenticator if known.reply is None else None
            self._forget(client, slot)
        elif len(client.kept) >= self._most and not self._make_room(client):
            return Asked.FULL
        ticket = client.kept[slot] = Ticket(client, slot, authenticator, now + self._seconds, replaced)
        client.open += 1
        return ticket

    def answered(self, ticket: Ticket, reply: bytes, *, now: float) -> bool:
        """Keep the reply for those who ask again. False: nobody waits for it any longer, so it must not be sent."""
        client, slot = ticket.client, ticket.slot
        if client.kept.get(slot) is not ticket:
            return False
        if ticket.reply is None:
            client.open -= 1
        ticket.reply = reply
        ticket.expires = now + self._seconds
        client.kept.move_to_end(slot)
        return True

    def dropped(self, ticket: Ticket) -> None:
        """There is no reply: who asks again begins anew."""
        if ticket.client.kept.get(ticket.slot) is ticket:
            self._forget(ticket.client, ticket.slot)

    def open(self, address: str) -> int:
        """How many requests of a client are worked on."""
        client = self._clients.get(address)
        return 0 if client is None else client.open

    def __len__(self) -> int:
        return sum(len(client.kept) for client in self._clients.values())

    def _admit(self, address: str) -> _Client:
        if len(self._clients) >= self._most_clients:
            self._clients.popitem(last=False)
        client = self._clients[address] = _Client()
        return client

    def _expire(self, client: _Client, now: float) -> None:
        # Entries stand in the order in which they expire: each is put at the end with the same lease.
        while client.kept:
            slot, entry = next(iter(client.kept.items()))
            if entry.expires > now:
                client.due = entry.expires
                return
            if entry.reply is None:  # worked on still: forgotten now, the next copy would be worked on beside it
                entry.expires = now + self._seconds
                client.kept.move_to_end(slot)
                continue
            self._forget(client, slot)

    def _make_room(self, client: _Client) -> bool:
        for slot, ticket in client.kept.items():
            if ticket.reply is not None:
                self._forget(client, slot)
                return True
        return False

    def _forget(self, client: _Client, slot: Hashable) -> None:
        if client.kept.pop(slot).reply is None:
            client.open -= 1
