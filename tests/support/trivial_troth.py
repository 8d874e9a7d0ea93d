"""A ``troth up`` whose roles do nothing but answer, for tests of the supervisor itself.

``python trivial_troth.py DATA [BEHAVIOUR]`` is the supervisor; it starts itself again as each role. A trivial role
answers every connection with ``ROLE INDEX PID``. BEHAVIOUR: ``worker-fails`` (ends before it is ready), ``web-hangs``
(ignores being asked to end).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from troth.assembly import serve
from troth.assembly.context import Role, RoleContext
from troth.assembly.firststart import Start
from troth.assembly.layout import Layout
from troth.assembly.progress import Progress
from troth.assembly.serve import configure_log
from troth.assembly.supervisor import Supervisor
from troth.kit import config as configuration
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError


async def answer(context: RoleContext) -> None:
    """What every trivial role does."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{context.role} {context.index} {os.getpid()}\n".encode())
        writer.close()

    behaviour = os.environ.get("BEHAVIOUR", "")
    if behaviour == f"{context.role}-fails":
        raise RuntimeError("as the test wishes")
    servers = [await asyncio.start_server(talk, sock=one) for group in context.sockets.values() for one in group]
    if behaviour == f"{context.role}-hangs":
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    context.ready()
    await context.stop.wait()
    for server in servers:
        server.close()


async def nothing_missing(_start: Start) -> None:
    """Trivial roles need no authority."""


def command(role: Role, layout: Layout) -> list[str]:
    """How this file is started as a role."""
    return [sys.executable, __file__, str(layout.root), "--role", role]


def main() -> int:
    """The supervisor, or one of its children."""
    layout = Layout.at(Path(sys.argv[1]))
    if "--role" in sys.argv:
        return serve.serve(sys.argv[3], layout, answer)  # type: ignore[arg-type]
    config = configuration.load(layout.root)
    configure_log("supervisor", config.log)
    clock = SystemClock()
    supervisor = Supervisor(
        layout=layout,
        config=config,
        clock=clock,
        progress=Progress(clock),
        environ=os.environ,
        announce=lambda ready: print(ready.json(), flush=True),
        command=command,
        first_start=nothing_missing,
    )
    try:
        asyncio.run(supervisor.run())
    except TrothError as error:
        print(f"{error.code}: {error.detail}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
