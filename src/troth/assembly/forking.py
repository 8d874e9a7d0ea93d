"""The supervisor's end of the fork server: it is started, asked for processes, and replaced when it has died."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from troth.assembly.context import Inherited, Role
from troth.assembly.errors import CHILD_FAILED, AssemblyError
from troth.assembly.forkserver import MAX_MESSAGE, Ended, Fork, decode_told
from troth.assembly.layout import Layout
from troth.assembly.process import Process
from troth.kit.log import get_logger

log = get_logger("assembly")

_STOP_SECONDS = 5.0


class ForkedProcess(Process):
    """A child of the fork server, which tells its status; a fork server that has died tells nothing any more."""

    def __init__(self, pid: int, pidfd: int) -> None:
        super().__init__(pid, None, pidfd)
        self._news = asyncio.Event()
        self._status: int | None = None
        self._orphaned = False

    @property
    def status(self) -> int | None:
        """As for a child of our own; None for one that outlived the fork server."""
        return self._status

    def ended(self) -> bool:
        """Whether it has ended, and its status is known if it will ever be."""
        return self._status is not None or (self._orphaned and super().ended())

    def tell(self, status: int) -> None:
        """It has ended."""
        self._status = status
        self._news.set()

    def orphan(self) -> None:
        """The fork server has died."""
        self._orphaned = True
        self._news.set()

    async def _change(self) -> None:
        await (super()._change() if self._orphaned else self._news.wait())


@dataclass(eq=False)
class ForkServer:
    """See the module. Use it within one event loop; :meth:`close` ends it.

    Attributes:
        lock: the held lock on the data directory, which all children inherit.
        environ: the environment that they get.
    """

    layout: Layout
    lock: int
    environ: Mapping[str, str]
    _running: _Running | None = None

    def start(self) -> None:
        """Begin to load the program; there is nothing to wait for."""
        self._living()

    def holder(self) -> int:
        """The fork server's process."""
        return self._living().popen.pid

    async def launch(self, role: Role, handed_down: Inherited) -> Process:
        """A new process of ``role``. Raises AssemblyError when the fork server ends instead."""
        if self._running is None or self._running.popen.pid != handed_down.parent:
            raise AssemblyError(CHILD_FAILED, "the fork server has ended", role=role)
        return await self._running.fork(Fork(role, str(self.layout.root), handed_down))

    def _living(self) -> _Running:
        if self._running is None or self._running.gone:
            if self._running is not None:
                log.error("forkserver.ended", pid=self._running.popen.pid)
            self._running = _Running.started(self.lock, self.environ)
        return self._running

    async def close(self) -> None:
        """End it. Its children are expected to have ended."""
        if self._running is not None:
            await self._running.close()
            self._running = None


@dataclass(eq=False)
class _Running:
    """One fork server's process."""

    popen: subprocess.Popen[bytes]
    channel: socket.socket
    gone: bool = False
    _burial: asyncio.Task[None] | None = None
    _asked: deque[asyncio.Future[ForkedProcess]] = field(default_factory=deque)
    _children: dict[int, ForkedProcess] = field(default_factory=dict)

    @classmethod
    def started(cls, lock: int, environ: Mapping[str, str]) -> _Running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "troth.assembly.forkserver", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                env=dict(environ),
                pass_fds=(theirs.fileno(), lock),
                process_group=0,
            )
        ours.setblocking(False)
        running = cls(popen, ours)
        asyncio.get_running_loop().add_reader(ours, running._readable)
        return running

    async def fork(self, wanted: Fork) -> ForkedProcess:
        descriptors = wanted.inherited.descriptors()
        message = msgspec.msgpack.encode(msgspec.structs.replace(wanted, inherited=wanted.inherited.by_place()))
        answer: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
        if self.gone:
            raise AssemblyError(CHILD_FAILED, "the fork server has ended", role=wanted.role)
        try:
            # The descriptors travel with the message: whoever asks may close its own as soon as this returns.
            socket.send_fds(self.channel, [message], descriptors)
        except OSError as error:
            raise AssemblyError(CHILD_FAILED, f"the fork server: {error}", role=wanted.role) from error
        self._asked.append(answer)
        return await answer

    def _readable(self) -> None:
        try:
            body, descriptors, _, _ = socket.recv_fds(self.channel, MAX_MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            body, descriptors = b"", []
        if not body:
            self._lost()
            return
        told = decode_told(body)
        if isinstance(told, Ended):
            child = self._children.pop(told.pid, None)
            if child is not None:
                child.tell(told.status)
            return
        child = self._children[told.pid] = ForkedProcess(told.pid, descriptors[0])
        answer = self._asked.popleft()
        if not answer.done():  # else whoever asked has given up; the role ends with the pipe that it waits at
            answer.set_result(child)

    def _lost(self) -> None:
        """The process has ended: those who wait hear it, and its children are told to end by the kernel."""
        if self.gone:
            return
        self.gone = True
        asyncio.get_running_loop().remove_reader(self.channel)
        self.channel.close()
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(AssemblyError(CHILD_FAILED, "the fork server has ended"))
        self._asked.clear()
        for child in self._children.values():
            child.orphan()
        self._children.clear()
        self._burial = asyncio.create_task(self._bury())

    async def _bury(self) -> None:
        process = Process.child(self.popen)
        process.send(signal.SIGTERM)
        if not await process.wait(_STOP_SECONDS):
            log.error("forkserver.killed", pid=self.popen.pid)
            process.send(signal.SIGKILL)
            await process.wait()

    async def close(self) -> None:
        self._lost()
        if self._burial is not None:
            await self._burial
