"""Status: how validity is told to third parties, over plain HTTP (what it tells is signed)."""

from __future__ import annotations

import asyncio

from troth.assembly.context import RoleContext
from troth.assembly.roles.common import database_of
from troth.pki.signer.client import SignerClient
from troth.status.worker import StatusWorker
from troth.web.server import Listening, serve


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    async with (
        database_of(context) as (database, instance),
        SignerClient(context.signer_socket, "status", context.layout.secrets) as signer,
    ):
        worker = StatusWorker(
            database, signer, context.clock, instance.id, context.config.ocsp, custody=signer, pulse=instance.pulse
        )
        started = asyncio.Event()
        working = asyncio.create_task(worker.run(context.stop, started.set))
        await asyncio.wait((working, asyncio.create_task(started.wait())), return_when=asyncio.FIRST_COMPLETED)
        if started.is_set():
            listening = Listening(app=worker.door.lane(), sockets=context.sockets["http"])
            serving = asyncio.create_task(serve([listening], stop=context.stop, ready=context.ready))
            await asyncio.wait((working, serving), return_when=asyncio.FIRST_COMPLETED)
            if not context.stop.is_set():
                context.stop.set()
                await serving
                await working
                raise RuntimeError("the trust table's keeper ended by itself")
            await serving
        await working
