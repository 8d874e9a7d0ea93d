"""What tells of revocations, in a process of its own: sequencer, status worker behind HTTP, CRL duty. For bench.crl.

python -m bench.crl_house <database url> <signer's data directory> <port>
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvloop

from bench.support import signer_client
from troth.audit.sequencer import Sequencer
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.kit.status_settings import CrlSettings, OcspSettings
from troth.pki.catalogue import Catalogue
from troth.pki.clockguard import ClockGuard
from troth.pki.gate import Gate
from troth.pki.responder import Responders
from troth.status.publisher import publisher_of
from troth.status.worker import StatusWorker
from troth.store.pool import Database
from troth.web.server import Listening, serve


async def run(url: str, data: Path, port: int) -> None:
    """Serve until killed."""
    clock, stop = SystemClock(), asyncio.Event()
    database = await Database.open(url, clock=clock)
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    listener.setblocking(False)
    async with signer_client(data, "worker") as signer, signer_client(data, "status") as keys:
        guard = ClockGuard(database, clock)
        gate = Gate(database, signer, catalogue, guard, clock, instance=new_id())
        await Responders(database, gate, signer, catalogue, clock).ensure("issuing")
        duty = publisher_of(database, signer, catalogue, guard, clock, CrlSettings(), new_id())
        await duty.ensure()
        worker = StatusWorker(database, keys, clock, new_id(), OcspSettings())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Sequencer(database, clock, new_id()).run(stop))
            tasks.create_task(duty.run(stop))
            tasks.create_task(worker.run(stop, lambda: print("ready", flush=True)))
            tasks.create_task(
                serve([Listening(app=worker.door.lane(), sockets=[listener])], stop=stop, ready=lambda: None)
            )


if __name__ == "__main__":
    configure(role="bench", level="error")
    uvloop.run(run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
