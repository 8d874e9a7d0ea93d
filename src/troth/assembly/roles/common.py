"""What several roles do alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from troth.assembly.context import RoleContext
from troth.audit.pulse import Pulse
from troth.kit.errors import trace_of
from troth.kit.ids import new_id
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.lease import Instance
from troth.store.pool import ANY_CHANNEL, Database

log = get_logger("assembly")

_AGAIN_SECONDS = 0.5
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))


class Member(Instance):
    """This process, among the others of the installation and of this machine."""

    pulse: Pulse


@contextlib.asynccontextmanager
async def database_of(context: RoleContext) -> AsyncIterator[tuple[Database, Member]]:
    """The store, and this process's heartbeat in it, for as long as the block runs."""
    database = await Database.open(
        context.database_url, clock=context.clock, max_connections=context.config.database.pool_size
    )
    instance = Member(database, context.clock, context.role)
    try:
        await instance.beat()
        database.wake(ANY_CHANNEL)
        instance.pulse = Pulse(database, context.clock, instance, context.layout.pulse)
        beating = asyncio.create_task(_beat(instance.pulse))
        try:
            yield database, instance
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            instance.pulse.close()
            with contextlib.suppress(StoreError):  # its lease then lapses by itself
                await instance.leave()
    finally:
        await database.close()


async def _beat(pulse: Pulse) -> None:
    while True:
        try:
            await pulse.run()
        except Exception:
            log.exception("pulse.failed")
        await asyncio.sleep(_AGAIN_SECONDS)


async def livez(_request: Request) -> Response:
    """Answers as long as the process does; says nothing of its health."""
    return Response(200, b"ok\n", _TEXT)


LIVEZ = Route("/livez", {"GET": livez, "HEAD": livez}, permission="public")


async def internal_error(request: Request, error: Exception) -> Response:
    """The answer to a failure that no door has words for: a number to look up in the log, and nothing else."""
    correlation = new_id()
    log.error(
        "request.failed",
        correlation=str(correlation),
        method=request.method,
        path=request.path,
        exc_info=trace_of(error),
    )
    return Response(500, f"internal error {correlation}\n".encode(), _TEXT)
