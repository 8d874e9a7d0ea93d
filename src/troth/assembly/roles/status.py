"""Status: how validity is told to third parties, over plain HTTP (what it tells is signed)."""

from __future__ import annotations

from troth.assembly.context import RoleContext
from troth.assembly.roles.common import LIVEZ, database_of, internal_error
from troth.kit.lane import Lane
from troth.web.server import Listening, serve


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    async with database_of(context):
        lane = Lane([LIVEZ], on_error=internal_error)
        listening = Listening(app=lane, sockets=context.sockets["http"])
        await serve([listening], stop=context.stop, ready=context.ready)
