"""``troth serve --role R``: one role in this process, under a supervisor or alone (under systemd, in a pod)."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import uvloop

from troth.assembly import listeners, state, turns
from troth.assembly.context import FORKING, LISTENERS, Inherited, Role, RoleContext, inherited
from troth.assembly.errors import NOT_PREPARED, AssemblyError
from troth.assembly.layout import Layout
from troth.assembly.postgres.server import url as embedded_url
from troth.kit import config as configuration
from troth.kit import log as logging
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError
from troth.kit.settings import Config, LogSettings
from troth.radius.eap.tickets import one_ticket

log = logging.get_logger("assembly")

#: After a stop was asked for, a role that has not ended by then is ended.
_STOP_SECONDS = 15.0
_PR_SET_PDEATHSIG = 1

Run = Callable[[RoleContext], Awaitable[None]]


@dataclass(frozen=True)
class Opening:
    """What a role that forks workers (``FORKING``) begins with: there is no event loop, and no signal is handled."""

    role: Role
    config: Config
    layout: Layout
    state: state.State
    handed_down: Inherited | None

    @property
    def database_url(self) -> str:
        """Where the store is."""
        return database_url_of(self.config, self.layout, self.handed_down)


def serve(role: Role, layout: Layout, run: Run | None = None) -> int:
    """Run ``role`` until it is told to stop; the process's exit code. Raises TrothError before it has begun.

    ``run`` is what the role does; by default what its module in ``roles/`` says.
    """
    handed_down = inherited()
    if handed_down is not None:
        die_with(handed_down.parent)
    config = configuration.load(layout.root)
    configure_log(role, config.log)
    known = state.read(layout.state_file)
    if known is None:
        raise AssemblyError(NOT_PREPARED, f"{layout.state_file} does not exist")
    if config.processes.gather:
        turns.gather(role)
    if run is None and role in FORKING:
        one_ticket()  # where no fork server has: this is the first that loads the role
        module = importlib.import_module(f"troth.assembly.roles.{role}")
        return int(module.serve(Opening(role, config, layout, known, handed_down)))
    # Requests leave few cycles behind: to look for them after every 700 objects costs more than to keep some a while.
    gc.set_threshold(10_000, 20, 20)
    work: Run = run or importlib.import_module(f"troth.assembly.roles.{role}").run
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(role, work, config, layout, known, handed_down))


def configure_log(role: str, settings: LogSettings) -> None:
    """Set logging up as the settings say: text for a person at a terminal, JSON for a machine."""
    lines = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    logging.configure(role=role, level=settings.level, json_lines=lines)


async def _main(
    role: Role, run: Run, config: Config, layout: Layout, known: state.State, handed_down: Inherited | None
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def end() -> None:
        if handed_down is not None:
            loop.remove_reader(handed_down.lifeline)  # at its end it stays readable for ever
        if not stop.is_set():
            stop.set()
            end_by_force(_STOP_SECONDS)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if handed_down is not None:
        loop.add_reader(handed_down.lifeline, end)
        sockets = {
            name: [socket.socket(fileno=fd) for fd in descriptors] for name, descriptors in handed_down.sockets.items()
        }
    else:
        sockets, _ = listeners.open_listeners(config.listen, known, LISTENERS[role])
        if role == "web":
            sockets[listeners.ADMIN_SOCKET] = [listeners.open_unix(layout.admin_socket)]

    def ready() -> None:
        log.info("role.ready", pid=os.getpid())
        if handed_down is not None:
            os.write(handed_down.ready, b"1")
            os.close(handed_down.ready)

    if handed_down is not None and handed_down.gate is not None:
        await _opened(handed_down.gate, stop)
    context = RoleContext(
        role=role,
        index=handed_down.index if handed_down is not None else 0,
        config=config,
        layout=layout,
        state=known,
        clock=SystemClock(),
        sockets=sockets,
        database_url=database_url_of(config, layout, handed_down),
        stop=stop,
        ready=ready,
    )
    try:
        await run(context)
    except TrothError as error:
        log.error("role.failed", code=error.code, detail=error.detail, fix=error.reason.fix)
        return 1
    except Exception:
        log.exception("role.failed", code="internal.error")
        return 1
    if not stop.is_set():
        log.error("role.ended_by_itself")
        return 1
    log.info("role.stopped")
    return 0


def database_url_of(config: Config, layout: Layout, handed_down: Inherited | None) -> str:
    """Where the store is: as the supervisor said, or the settings, or the embedded one."""
    return (handed_down.database_url if handed_down else config.database.url) or embedded_url(layout)


async def _opened(gate: int, stop: asyncio.Event) -> None:
    """Wait until the supervisor opens the gate, or for the end."""
    opened = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(gate, opened.set)
    waiting = [asyncio.create_task(opened.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        loop.remove_reader(gate)
        os.close(gate)


def die_with(parent: int) -> None:
    """Have the kernel tell us when our parent dies, however it dies. The lifeline pipe says so too, everywhere."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel knew that we care
        sys.exit(1)


def end_by_force(seconds: float) -> None:
    """End the process if it still runs after ``seconds``: a hung role must not outlive its supervisor."""

    def kill() -> None:
        log.error("role.stop_timed_out", seconds=seconds)
        os._exit(1)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
