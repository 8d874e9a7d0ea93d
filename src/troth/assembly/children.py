"""A child of the supervisor: started, waited for until it is ready, restarted when it dies, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from troth.assembly.context import GATED, Inherited, Role
from troth.assembly.errors import CHILD_FAILED, AssemblyError
from troth.assembly.launch import Launcher
from troth.assembly.process import Process
from troth.kit.clock import Clock
from troth.kit.log import get_logger

log = get_logger("assembly")

_READY_SECONDS = 300.0
#: A role ends itself 15 s after it was asked to (``serve.py``); this is for one that cannot even do that.
_STOP_SECONDS = 20.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
#: A child that lived this long was well: its next death is paused for as if it were the first.
_WELL_AFTER = 60.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all children share.

    Attributes:
        gate: read end of the pipe that is closed when the database is ready for the children.
        lifeline: read end of the pipe whose write end only the supervisor holds.
        launchers: how a process of each role is started.
    """

    clock: Clock
    sockets: Mapping[str, Sequence[socket.socket]]
    gate: int
    lifeline: int
    database_url: str
    launchers: Mapping[Role, Launcher]


@dataclass(eq=False)
class Child:
    """One process of one role, kept alive until :meth:`stop`."""

    role: Role
    index: int
    listeners: Sequence[str]
    around: Surroundings
    restarts: int = 0
    _process: Process | None = None
    _keeper: asyncio.Task[None] | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """``web-1``."""
        return f"{self.role}-{self.index}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and not self._process.ended() else None

    async def start(self) -> None:
        """Start it and wait until it is ready; from then on it is restarted whenever it ends.

        Raises AssemblyError if it ends, or is not ready in time, the first time: then something is wrong that a
        restart would not mend.
        """
        if not await self._launch():
            status = self._process.status if self._process is not None else None
            await self.stop()
            how = f"is not ready after {_READY_SECONDS:.0f} s" if status is None else _ended(status)
            raise AssemblyError(CHILD_FAILED, f"{self.name} {how}", role=self.role)
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Ask it to end, wait, and end it by force if it must be."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.send(signal.SIGTERM)
            if not await process.wait(_STOP_SECONDS):
                log.error("child.killed", child=self.name, pid=process.pid)
                process.send(signal.SIGKILL)
                await process.wait()
        if self._keeper is not None:
            await self._keeper

    def kill(self) -> None:
        """End it now."""
        self._stopping.set()
        if self._process is not None:
            self._process.send(signal.SIGKILL)

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            process = self._process
            begun = self.around.clock.monotonic()
            if process is not None:
                await process.wait()
            if self._stopping.is_set():
                return
            if self.around.clock.monotonic() - begun > _WELL_AFTER:
                pause = _FIRST_PAUSE
            how = _ended(process.status if process is not None else None)
            log.error("child.ended", child=self.name, how=how, restart_seconds=pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            except TimeoutError:
                pause = min(pause * 2, _LONGEST_PAUSE)
            if self._stopping.is_set():
                return
            self.restarts += 1
            if await self._launch():
                log.info("child.restarted", child=self.name, restarts=self.restarts)
            elif self._process is not None:
                self._process.send(signal.SIGKILL)  # neither ready nor ended

    async def _launch(self) -> bool:
        """Start the process; whether it became ready."""
        readable, writable = os.pipe()
        try:
            self._process = await self._spawn(writable)
        finally:
            os.close(writable)
        try:
            return await self._becomes_ready(readable, self._process)
        finally:
            os.close(readable)

    async def _spawn(self, ready: int) -> Process:
        around, launcher = self.around, self.around.launchers[self.role]
        handed_down = Inherited(
            parent=launcher.holder(),
            index=self.index,
            sockets={name: [one.fileno() for one in around.sockets[name]] for name in self.listeners},
            ready=ready,
            gate=around.gate if self.role in GATED else None,
            lifeline=around.lifeline,
            database_url=around.database_url,
        )
        return await launcher.launch(self.role, handed_down)

    async def _becomes_ready(self, readable: int, process: Process) -> bool:
        """Until the child writes its byte; False when it ends (the pipe then closes) or takes too long."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(readable, told.set)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await told.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(readable)
        if os.read(readable, 1) == b"1":
            return True
        await process.wait(5.0)  # so that its status can be told
        return False


def _ended(status: int | None) -> str:
    if status is None:
        return "ended"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
