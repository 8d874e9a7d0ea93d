"""The door for applications in one process: what it holds in memory, its journal, and who may ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from troth.assembly.context import RoleContext
from troth.assembly.journals import PATIENCE, drain_of
from troth.assembly.mint import Mint, places_of
from troth.audit.sequencer import STREAM_CHANNEL
from troth.audit.store import LedgerStore
from troth.audit.stream import LEASE_POLL, LOOK, Stream
from troth.connect.authz.applications import Applications
from troth.connect.authz.authzen import AuthZen
from troth.connect.authz.check import Check
from troth.connect.authz.door import Caller, Gate
from troth.kit.lane import Route
from troth.store.pool import Database
from troth.trust.connecting.connections import Connections
from troth.trust.connecting.journal import Journal
from troth.trust.connecting.presence import Presence
from troth.trust.subjects.store import SubjectStore


@dataclass(frozen=True, kw_only=True)
class Authz:
    """What the https listener and the pages need of it."""

    applications: Applications
    routes: tuple[Route, ...]


@contextlib.asynccontextmanager
async def authz_of(context: RoleContext, database: Database, mint: Mint) -> AsyncIterator[Authz]:
    """The door, for as long as the block runs; what its journal holds then is carried over before it ends."""
    clock = context.clock
    start = (await LedgerStore(database).head()).size
    presence = Presence(database.lookups, mint.judge, clock)
    journal = Journal.open(context.layout.journal)
    drain = drain_of(context, database, patience=PATIENCE)
    applications = Applications(database, clock)
    caller = Caller(applications, clock)
    connections = Connections(presence, mint.judge, journal, clock, places_of(context.config.places))
    gate = Gate(connections, SubjectStore(database.lookups))
    ending = asyncio.Event()
    tasks = [
        asyncio.create_task(_follow(database, context, presence, start)),
        asyncio.create_task(drain.run(ending)),
        asyncio.create_task(caller.run(ending)),
    ]
    try:
        yield Authz(
            applications=applications,
            routes=(*AuthZen(caller, gate, context.state.public_url).routes(), *Check(caller, gate).routes()),
        )
    finally:
        ending.set()
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.close()


async def _follow(database: Database, context: RoleContext, presence: Presence, start: int) -> None:
    def poll() -> float:
        return LEASE_POLL if presence.wanted else LOOK.pause()

    presence.on_wanted = lambda: database.heard(STREAM_CHANNEL)
    async for batch in Stream(database, context.clock, poll=poll).follow(start, asyncio.Event(), presence.rooms):
        presence.follow(batch.events, asked_at=batch.asked_at, complete=batch.complete, rooms=batch.rooms)
