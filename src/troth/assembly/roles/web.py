"""Web: ACME and signals on the https listener, people on the admin listener and on the Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from troth.assembly.context import RoleContext
from troth.assembly.errors import NOT_PREPARED, AssemblyError
from troth.assembly.roles.common import LIVEZ, database_of, internal_error
from troth.kit.lane import Lane
from troth.kit.log import get_logger
from troth.web.server import Listening, serve
from troth.web.tls import ServerTls

log = get_logger("assembly")

_LOOK_SECONDS = 2.0


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    try:
        tls = ServerTls(context.layout.server_identity)
    except FileNotFoundError as error:
        raise AssemblyError(NOT_PREPARED, f"{error.filename} does not exist") from error
    async with database_of(context):
        lane = Lane([LIVEZ], on_error=internal_error)
        listenings = [
            Listening(app=lane, sockets=context.sockets["https"], tls=tls),
            Listening(app=lane, sockets=context.sockets["admin"], tls=tls),
            Listening(app=lane, sockets=context.sockets["admin_socket"]),
        ]
        renewing = asyncio.create_task(_follow(tls))
        try:
            await serve(listenings, stop=context.stop, ready=context.ready)
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing


async def _follow(tls: ServerTls) -> None:
    """Take up the listener's renewed certificate when its file has changed."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if tls.reload():
                log.info("tls.reloaded")
        except (OSError, ssl.SSLError) as error:
            log.error("tls.reload_failed", error=str(error))
