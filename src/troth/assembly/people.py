"""Who may log in where: the access room of this installation."""

from __future__ import annotations

from urllib.parse import urlsplit

from troth.access.passkeys import RelyingParty
from troth.access.service import Access
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.store.pool import Database


def access_of(database: Database, clock: Clock, state: State) -> Access:
    """The room, with passkeys tied to the dashboard's host."""
    party = RelyingParty(id=urlsplit(state.admin_url).hostname or "localhost", origins=(state.admin_url,))
    return Access.build(database, clock, party)
