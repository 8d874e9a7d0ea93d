"""Wiring of the transmitter of shared signals: doors in web processes, keys, pushing and a port in the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from troth.assembly.context import RoleContext
from troth.connect.ssf.transmitter.access import ReceiverAccess
from troth.connect.ssf.transmitter.certificates import CertificateTelling
from troth.connect.ssf.transmitter.desk import ReceiverDesk
from troth.connect.ssf.transmitter.keys import TransmitterKeyring
from troth.connect.ssf.transmitter.management import ManagementDoor
from troth.connect.ssf.transmitter.polling import PollDoor
from troth.connect.ssf.transmitter.port import SsfPort
from troth.connect.ssf.transmitter.pusher import Pusher
from troth.connect.ssf.transmitter.sending import Sender
from troth.kit.http import HttpClient
from troth.kit.lane import Route
from troth.kit.sealing import SecretBox
from troth.store.pool import Database


@dataclass(frozen=True, kw_only=True)
class Transmitting:
    """The transmitter in one process."""

    keys: TransmitterKeyring
    sender: Sender
    access: ReceiverAccess
    desk: ReceiverDesk
    box: SecretBox

    def port(self, database: Database) -> SsfPort:
        """The outbox's port."""
        return SsfPort(database, self.sender)

    def routes(self, context: RoleContext, database: Database) -> Sequence[Route]:
        """The doors, for a web process."""
        clock, base = context.clock, self.sender.issuer
        management = ManagementDoor(database, clock, self.access, self.keys, self.sender, self.box, base)
        polling = PollDoor(database, clock, self.access, stop=context.stop)
        return (*management.routes(), *polling.routes())


def transmitting_of(context: RoleContext, database: Database) -> Transmitting:
    """The transmitter, wired by the configuration."""
    path, clock = context.layout.secrets / "ssf.secret", context.clock
    box = SecretBox.at(path, purpose="ssf transmitter")
    keys = TransmitterKeyring(database, clock, SecretBox.at(path, purpose="ssf key"))
    sender = Sender(clock, keys, context.state.public_url.rstrip("/"))
    return Transmitting(
        keys=keys,
        sender=sender,
        access=ReceiverAccess(database, clock, SecretBox.at(path, purpose="ssf access")),
        desk=ReceiverDesk(database, clock, sender, box),
        box=box,
    )


def transmitter_duties(
    context: RoleContext, database: Database, holder: UUID
) -> tuple[list[Coroutine[Any, Any, None]], list[tuple[float, Callable[[], Awaitable[object]], str]]]:
    """The worker's part: pushing and reading the ledger, and (seconds, work, name) of what is done now and then."""
    room = transmitting_of(context, database)
    pusher = Pusher(database, context.clock, holder, HttpClient(context.config.egress), room.sender, room.box)
    telling = CertificateTelling(database, context.clock, room.sender).follower()
    return [pusher.run(context.stop), telling.run(context.stop)], [
        (10.0, room.keys.ensure, "keys for shared signals"),
        (300.0, pusher.run_due, "streams to receivers"),
    ]
