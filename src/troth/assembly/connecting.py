"""Wiring of connectors: other people's systems, read by the worker and listened to by the web role."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from troth.assembly.context import RoleContext
from troth.connect.desk import ConnectorDesk
from troth.connect.puller import Puller
from troth.connect.pushing import PushDoor
from troth.connect.vendors import Workshop
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.trust.intake.inbox import Inbox


@dataclass(frozen=True)
class Connecting:
    """Who keeps connectors, and where what they bring is written down."""

    desk: ConnectorDesk
    inbox: Inbox
    door: PushDoor

    def puller(self, database: Database, context: RoleContext, holder: UUID) -> Puller:
        """The worker's part: reads what is due."""
        return Puller(database, context.clock, holder, self.desk.opener, self.inbox)


def connecting_of(context: RoleContext, database: Database) -> Connecting:
    """Wired by the configuration; secrets are sealed with a key of their own in the data directory."""
    box = SecretBox.at(context.layout.secrets / "connectors.secret", purpose="connector")
    workshop = Workshop(context.clock, context.config.egress)
    desk = ConnectorDesk(database, context.clock, box, workshop)
    inbox = Inbox(database, context.clock)
    return Connecting(desk, inbox, PushDoor(desk, inbox))
