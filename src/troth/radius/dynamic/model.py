"""An access server as whoever sends to it sees it, and the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from troth.radius.wire.packet import Attribute, Packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What dynamic authorization needs to know of an access server.

    Attributes:
        vendor: names its ladder (``places/data``).
        address: where it listens; None: at the address that a session's packets came from.
        port: UDP port; None: the vendor's usual one.
        secrets: the present one, and the next one while they change: each is tried.
        connected: it speaks RADIUS over TLS, and is asked over the connection that it has made.
        identifier: its NAS-Identifier, where its requests do not say it.
        enabled: whether anything may be sent to it (``coa:``); False leaves sessions to their Session-Timeout.
        require_message_authenticator: replies without are not believed (CVE-2024-3596).
        at_once: requests that wait for its answer at most. per_second: new ones at most.
    """

    name: str
    vendor: str
    secrets: tuple[bytes, ...]
    address: str | None = None
    port: int | None = None
    enabled: bool = True
    connected: bool = False
    identifier: str = ""
    require_message_authenticator: bool = True
    at_once: int = 16
    per_second: float = 100.0


@dataclass(frozen=True, slots=True)
class Request:
    """One packet to be sent: without what signing adds."""

    code: int
    attributes: Sequence[Attribute]
    address: str
    port: int


class Transport(Protocol):
    """A way to an access server and back."""

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        """The reply, verified; sent again as the transport allows. Raises DynamicError, PacketRefused."""
        ...


class Fleet(Protocol):
    """Every access server there is, by name."""

    async def equipment(self) -> Mapping[str, Equipment]:
        """All of them, as they are now."""
        ...

    def transport(self, equipment: Equipment) -> Transport:
        """The way there: UDP, or back over the RadSec connection it has made (RFC 8559 calls it reverse)."""
        ...
