"""The worker: what has to be done once in the whole installation, each duty under its own lease."""

from __future__ import annotations

from troth.assembly.context import RoleContext
from troth.assembly.roles.common import database_of
from troth.audit.sequencer import Sequencer


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    async with database_of(context) as (database, instance):
        context.ready()
        await Sequencer(database, context.clock, instance.id).run(context.stop)
