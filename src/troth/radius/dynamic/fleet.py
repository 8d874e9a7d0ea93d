"""The access servers of ``nas:`` as whoever sends to them sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from troth.radius.dynamic.errors import UNREACHABLE, DynamicError
from troth.radius.dynamic.model import Equipment, Request, Transport
from troth.radius.nas.model import Nas, NasTable
from troth.radius.wire.packet import Packet

#: The table as it is now, read anew where it has changed.
Load = Callable[[], Awaitable[NasTable]]


class Roster:
    """See the module; a :class:`~troth.radius.dynamic.model.Fleet`.

    Args:
        udp: the way to those that are heard over UDP.
        radsec: back over the connection that one heard over TLS has made; None: such a one cannot be reached.
        at_once, per_second: bounds for each.
    """

    def __init__(
        self, load: Load, udp: Transport, radsec: Transport | None = None, *, at_once: int = 16, per_second: int = 100
    ) -> None:
        self._load = load
        self._udp = udp
        self._radsec = radsec
        self._at_once = at_once
        self._per_second = per_second
        self._table = NasTable()
        self._equipment: Mapping[str, Equipment] = {}

    async def equipment(self) -> Mapping[str, Equipment]:
        """See :class:`~troth.radius.dynamic.model.Fleet`."""
        table = await self._load()
        if table is not self._table or not self._equipment:
            self._table = table
            self._equipment = {name: self._of(one) for name, one in table.entries.items()}
        return self._equipment

    def transport(self, equipment: Equipment) -> Transport:
        """See :class:`~troth.radius.dynamic.model.Fleet`."""
        if not equipment.connected or self._radsec is None:
            return self._udp
        # What is heard over TLS alone is spoken to over TLS alone (draft-ietf-radext-radiusdtls-bis).
        return Either(self._radsec, self._udp) if equipment.secrets else self._radsec

    def _of(self, one: Nas) -> Equipment:
        # Its own requests and its answers are signed by different parts of it, so one may sign what the other does not.
        unsigned = one.coa is not None and one.coa.unsigned
        connected = one.radsec is not None and self._radsec is not None
        secrets = () if one.protected else one.coa_secrets
        return Equipment(
            name=one.name, vendor=one.vendor, secrets=secrets,
            address=one.coa.address if one.coa is not None else None,
            port=one.coa.port if one.coa is not None else None,
            enabled=one.coa is not None and (bool(secrets) or connected), connected=connected,
            require_message_authenticator=not unsigned and (one.require_message_authenticator == "yes" or one.signs),
            identifier=one.identifier or "",
            at_once=min(self._at_once, one.max_in_flight or self._at_once), per_second=float(self._per_second),
        )  # fmt: skip


class Either:
    """The first way, and where that leads nowhere the second."""

    def __init__(self, first: Transport, second: Transport) -> None:
        self._first = first
        self._second = second

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        """See :class:`~troth.radius.dynamic.model.Transport`."""
        try:
            return await self._first.send(equipment, request)
        except DynamicError as error:
            if error.reason is not UNREACHABLE:
                raise
            return await self._second.send(equipment, request)
