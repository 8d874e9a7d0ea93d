"""``troth up``: everything on one machine, kept alive by one process.

The order of a start, each step needing those before it: lock the data directory · bind the listeners · PostgreSQL ·
migrate · signer · what a first start makes · worker, status, web. Loading their programs takes the processes longer
than all of that, so they are spawned at once and wait at a gate. A stop goes the other way round, so that nobody asks
something that has gone already. The supervisor itself holds no key and answers no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from troth.assembly import datagrams, firststart, listeners, state, summary
from troth.assembly.children import Child, Surroundings
from troth.assembly.context import LISTENERS, ROLES, Role
from troth.assembly.errors import ALREADY_RUNNING, AssemblyError
from troth.assembly.forking import ForkServer
from troth.assembly.launch import ByExecution, Command, Launcher, serve_command
from troth.assembly.layout import Layout
from troth.assembly.postgres import EmbeddedPostgres
from troth.assembly.postgres.server import url as embedded_url
from troth.assembly.process import Process
from troth.assembly.progress import Progress
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.settings import Config
from troth.store.migrate import migrate

log = get_logger("assembly")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_WELL_AFTER = 60.0
#: What a role answers on besides its TCP listeners.
_BESIDE: Mapping[Role, Sequence[str]] = {"web": (listeners.ADMIN_SOCKET,), "radius": datagrams.NAMES}
#: What is left of a crashed supervisor's processes ends within this time (``serve.py``: 15 s).
_FORMER_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """One ``troth up``.

    Attributes:
        environ: what children get as their environment.
        announce: told the summary once everything is ready.
        command: what is executed for a role's process. None: what is fastest here.
        first_start: makes what a data directory lacks, with the database running.
    """

    layout: Layout
    config: Config
    clock: Clock
    progress: Progress
    environ: Mapping[str, str]
    announce: Callable[[summary.Summary], None]
    command: Command | None = None
    first_start: Callable[[firststart.Start], Awaitable[None]] = firststart.first_start

    async def run(self) -> None:
        """Start everything, serve until SIGINT or SIGTERM, stop everything. Raises TrothError if the start fails."""
        asked = asyncio.Event()
        running: list[Child] = []
        async with self._locked() as lock:
            with _signals(asked, running):
                async with contextlib.AsyncExitStack() as stack:
                    await self._until_asked(self._start_all(stack, lock, running), asked)
                    log.info("supervisor.stopping")

    async def _until_asked(self, start: Coroutine[None, None, None], asked: asyncio.Event) -> None:
        """Run ``start``, then wait for ``asked``; a stop asked for during the start is a stop, not an error.

        Only the start is ever cancelled: the way down, which comes after this, must not be.
        """
        starting, stopping = asyncio.create_task(start), asyncio.create_task(asked.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            stopping.cancel()
            starting.cancel()
            await asyncio.wait((starting, stopping))

    async def _start_all(self, stack: contextlib.AsyncExitStack, lock: int, running: list[Child]) -> None:
        sockets, known = self._listen()
        stack.callback(listeners.close, sockets)
        lifeline, held = os.pipe()
        stack.callback(os.close, lifeline)
        stack.callback(os.close, held)
        gate, barrier = os.pipe()
        stack.callback(os.close, gate)
        open_gate = stack.enter_context(_closing_once(barrier))
        database_url = self.config.database.url or embedded_url(self.layout)
        around = Surroundings(
            clock=self.clock,
            sockets=sockets,
            gate=gate,
            lifeline=lifeline,
            database_url=database_url,
            launchers=self._launchers(stack, lock),
        )
        start = firststart.Start(
            config=self.config,
            layout=self.layout,
            state=known,
            clock=self.clock,
            database_url=database_url,
            progress=self.progress,
        )
        # All programs are loaded while the database starts; but for the signer they wait at the gate.
        signer, others = _children(self.config, around)
        starting = {child: asyncio.create_task(child.start()) for child in (*signer, *others)}
        running.extend(starting)
        stack.push_async_callback(self._stop, running, starting)
        if not self.config.database.url:
            await stack.enter_async_context(self._database())
        # Once more, so that in the way down the children end before the database does.
        stack.push_async_callback(self._stop, running, starting)
        with self.progress.step("preparing the database") as step:
            applied = await migrate(database_url)
            step.note(f"{len(applied)} migrations" if applied else "")
        # The signer first: all others speak to it while they start, and a first start needs it.
        await self._ready(signer, starting)
        await self.first_start(start)
        open_gate()
        await self._ready(others, starting)
        self.announce(summary.summarize(start))
        log.info("supervisor.ready", pid=os.getpid())

    def _launchers(self, stack: contextlib.AsyncExitStack, lock: int) -> Mapping[Role, Launcher]:
        """The fork server for all but the signer, whose memory is its own (see ``forkserver``)."""
        executing = ByExecution(self.layout, lock, self.environ, self.command or serve_command)
        if self.command is not None or sys.platform != "linux":  # elsewhere a fork without exec is not safe
            return dict.fromkeys(ROLES, executing)
        forks = ForkServer(self.layout, lock, self.environ)
        forks.start()
        stack.push_async_callback(forks.close)
        return {role: executing if role == "signer" else forks for role in ROLES}

    def _listen(self) -> tuple[listeners.Sockets, state.State]:
        with self.progress.step("opening the listeners") as step:
            before = state.read(self.layout.state_file)
            sockets, known = listeners.open_listeners(self.config.listen, before)
            try:
                sockets[listeners.ADMIN_SOCKET] = [listeners.open_unix(self.layout.admin_socket)]
                opened, addresses = datagrams.open_datagrams(self.config.radius, known.listeners)
                sockets |= opened
                known = msgspec.structs.replace(known, listeners=known.listeners | addresses)
                if known != before:
                    state.write(self.layout.state_file, known)
            except BaseException:
                listeners.close(sockets)
                raise
            step.note(", ".join(f"{name} {address}" for name, address in known.listeners.items() if name in sockets))
            if before is not None and before.public_http_url != known.public_http_url:
                step.note(f"certificates issued so far point to {before.public_http_url}")
        return sockets, known

    @contextlib.asynccontextmanager
    async def _database(self) -> AsyncIterator[str]:
        database = EmbeddedPostgres(self.layout, self.config.database, self.clock)
        with self.progress.step("starting PostgreSQL") as step:
            url = await database.start()
            step.note(database.version)
            step.note("adopted the one that was running" if database.adopted else "")
            for note in database.notes:
                step.note(note)
        keeper = asyncio.create_task(self._keep_database(database))
        try:
            yield url
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
            with self.progress.step("stopping PostgreSQL"):
                await database.stop()

    async def _keep_database(self, database: EmbeddedPostgres) -> None:
        """Restart the database whenever it ends; every process reconnects by itself."""
        pause = _FIRST_PAUSE
        while True:
            begun = self.clock.monotonic()
            status = await database.wait()
            if self.clock.monotonic() - begun > _WELL_AFTER:
                pause = _FIRST_PAUSE
            log.error("postgres.ended", status=status, restart_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await database.start()
            except TrothError as error:
                log.error("postgres.restart_failed", code=error.code, detail=error.detail)
            else:
                log.info("postgres.restarted", pid=database.pid)

    async def _ready(self, children: Sequence[Child], starting: Mapping[Child, asyncio.Task[None]]) -> None:
        """Wait until all of ``children`` are ready; the first failure ends the start."""
        with self.progress.step(f"starting {', '.join(child.name for child in children)}"):
            await asyncio.gather(*(starting[child] for child in children))

    async def _stop(self, running: list[Child], starting: Mapping[Child, asyncio.Task[None]]) -> None:
        if not running:
            return
        with self.progress.step("stopping"):
            for task in starting.values():
                task.cancel()
            await asyncio.gather(*starting.values(), return_exceptions=True)
            for role in reversed(ROLES):
                await asyncio.gather(*(child.stop() for child in running if child.role == role))
            running.clear()

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[int]:
        """Hold the data directory for ourselves and our children, who inherit the lock.

        The kernel lets go of it when the last of us is dead, however we die; so after a crash this waits for what is
        left of the former processes. Raises AssemblyError when another supervisor lives.
        """
        self.layout.prepare()
        descriptor = os.open(self.layout.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = self.clock.monotonic() + _FORMER_SECONDS
            while not _try_lock(descriptor):
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                if _lives(holder) or self.clock.monotonic() > deadline:
                    raise AssemblyError(ALREADY_RUNNING, f"{self.layout.root} is in use by process {holder}")
                await asyncio.sleep(0.05)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)


def _lives(pid: str) -> bool:
    process = Process.existing(int(pid)) if pid.isdecimal() else None
    return process is not None and not process.ended()


@contextlib.contextmanager
def _closing_once(descriptor: int) -> Iterator[Callable[[], None]]:
    """A function that closes ``descriptor``; at the latest the end of the block does."""
    left = [descriptor]

    def close() -> None:
        while left:
            os.close(left.pop())

    try:
        yield close
    finally:
        close()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _signals(asked: asyncio.Event, running: list[Child]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP ask for a stop; a second one while stopping ends the children at once."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if asked.is_set():
            for child in running:
                child.kill()
        asked.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup it is ignored, and stays so
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def cores() -> int:
    """Processor cores that this process may run on: fewer than the machine has, in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def web_processes(cores: int) -> int:
    """How many web processes suit a machine that leaves it to us.

    Requests of one process share their commits and look-ups, those of two do not: on two cores a second process
    makes every order dearer by a fifth and answers no more of them. More than eight want a person's measurement.
    """
    return max(1, min(8, cores // 2))


def _children(config: Config, around: Surroundings) -> tuple[list[Child], list[Child]]:
    """The signer, and the others in the order of starting."""
    settings = config.processes
    counts: dict[Role, int] = {
        "web": settings.web or web_processes(cores()),
        "status": settings.status,
        "radius": int(datagrams.is_on(config)),
    }
    children: list[Child] = []
    for role in ROLES:
        names = [*LISTENERS[role], *(name for name in _BESIDE.get(role, ()) if name in around.sockets)]
        children += [Child(role, index, names, around) for index in range(counts.get(role, 1))]
    return [c for c in children if c.role == "signer"], [c for c in children if c.role != "signer"]
