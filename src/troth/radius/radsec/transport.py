"""A way to access servers for Disconnect and CoA: their own connection (:mod:`troth.radius.radsec.orders`)."""

from __future__ import annotations

from typing import Final

from troth.kit.clock import Clock
from troth.radius.dynamic.errors import SILENT, UNREACHABLE, DynamicError
from troth.radius.dynamic.model import Equipment, Request
from troth.radius.radsec.errors import NOT_CONNECTED, ExchangeFailed
from troth.radius.radsec.orders import ReverseOrders
from troth.radius.wire.packet import Packet
from troth.store.errors import StoreError

_EVENT_TIMESTAMP: Final = 55
#: Nothing is sent again inside TLS: one answer is waited for, as long as UDP would try in all.
SECONDS: Final = 10.0


class ReverseTransport:
    """See :class:`troth.radius.dynamic.model.Transport`. Belongs to one event loop."""

    def __init__(self, orders: ReverseOrders, clock: Clock, *, seconds: float = SECONDS) -> None:
        self._orders = orders
        self._clock = clock
        self._seconds = seconds

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        """As there; ``request.address`` and ``port`` say nothing here."""
        # An empty Event-Timestamp stands for the moment at which it is sent (RFC 5176 section 6.3).
        now = int(self._clock.now().timestamp()).to_bytes(4, "big")
        stamped = [
            (kind, now if kind == _EVENT_TIMESTAMP and not value else value) for kind, value in request.attributes
        ]
        try:
            return await self._orders.send(equipment.name, request.code, stamped, seconds=self._seconds)
        except ExchangeFailed as error:
            reason = UNREACHABLE if error.reason is NOT_CONNECTED else SILENT
            raise DynamicError(reason, error.detail) from error
        except StoreError as error:
            raise DynamicError(UNREACHABLE, f"the database does not carry it: {error.detail}") from error
