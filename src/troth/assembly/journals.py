"""Who carries over the journals of this machine: its worker; where it has none, one of those that write them."""

from __future__ import annotations

from troth.assembly.context import RoleContext
from troth.radius.admission import keeping
from troth.radius.admission.conversations import NOTE as CONVERSATION
from troth.radius.sessions import inbox
from troth.radius.sessions.inbox import INBOX_CHANNEL
from troth.radius.sessions.inbox import NOTE as SESSION
from troth.store.pool import Database
from troth.trust.connecting.journal_drain import Drain

#: Seconds without a worker that drains, after which those that write the journals do.
PATIENCE = 5.0


def drain_of(context: RoleContext, database: Database, *, patience: float = 0.0) -> Drain:
    """The drain of this process."""
    return Drain(
        database,
        context.layout.journal,
        context.clock,
        takers={CONVERSATION: keeping.take, SESSION: inbox.taker(context.clock)},
        wakes={SESSION: INBOX_CHANNEL},
        patience=patience,
    )
