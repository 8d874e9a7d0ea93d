"""A role of several processes that share what one of them made: a master that forks workers, and forks them anew.

What the workers share (here: the TLS context that holds the keys of session tickets) cannot be given to a process that
runs. So the master builds it and forks; when it is time for another one it builds anew and forks a new *generation*. A
worker of the former one is told to drain once its place is taken, and goes on with what it has begun for a bounded
time.

The master has one thread, no event loop, no key of ours, no connection. Workers end with it, whichever way it ends.
Every worker has a *number* of its own among those that live, a *place* that it shares with its predecessor and
successor (sockets belong to places, so nothing that the kernel spreads over them moves when a worker is replaced), and
a *mailbox*: a datagram socket by which the others reach it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NoReturn, Protocol, TypeVar, cast

from setproctitle import setproctitle

from troth.assembly.worker_process import Channel, Seat, become
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("assembly")

NUMBERS = 256
#: A worker whose place has been taken ends by itself within the drain; this is for one that does not.
_OVERDUE_SECONDS = 10.0
_STOP_SECONDS = 12.0
_FIRST_PAUSE, _LONGEST_PAUSE, _WELL_AFTER = 0.1, 10.0, 30.0
#: One datagram of RADIUS and where it came from; the kernel's default holds some 200 of them.
_MAILBOX_OCTETS = 4 * 1024 * 1024

M = TypeVar("M")
B = TypeVar("B")


class Trade(Protocol[M, B]):
    """What a role of this kind does."""

    def look(self) -> M:
        """What is to be built from now; compared with ``==``."""
        ...

    def build(self, material: M) -> B:
        """What workers inherit. Raises TrothError: at the start that ends it, later what is there stays in use."""
        ...

    def gone(self, number: int) -> None:
        """The worker with this number has ended, however it did. Called in the master."""
        ...

    def seated(self, owners: Mapping[int, int], served: Set[int]) -> None:
        """Who lives (number → place), and which places are served, is otherwise than before. Called in the master."""
        ...

    async def work(self, built: B, seat: Seat) -> None:
        """A worker's life; returns after ``seat.stop`` is set, or when it has drained after ``seat.draining`` was."""
        ...


@dataclass(eq=False)
class _Worker:
    pid: int
    pidfd: int
    number: int
    place: int
    generation: int
    channel: socket.socket
    since: float
    state: str = "starting"  # → serving → draining
    kill_at: float = float("inf")


@dataclass(eq=False)
class _Place:
    """Attributes: pause, fork_at: when and after what pause a worker that has died is followed by another."""

    index: int
    workers: list[_Worker] = field(default_factory=list)
    pause: float = _FIRST_PAUSE
    fork_at: float = 0.0


class Master(Generic[M, B]):
    """See the module. :meth:`run` is its whole life.

    Args:
        title: what the processes are called.
        directory: where the mailboxes lie, ours alone.
        lifeline, gate: what a supervisor has handed down, if there is one (``context.Inherited``).
        ready: called once, when every place is served.
    """

    def __init__(
        self,
        trade: Trade[M, B],
        *,
        places: int,
        title: str,
        directory: Path,
        lifeline: int | None,
        gate: int | None,
        ready: Callable[[], None],
        drain_seconds: float,
        look_seconds: float = 60.0,
    ) -> None:
        self._trade = trade
        self._title = title
        self._directory = directory
        self._lifeline = lifeline
        self._gate = gate
        self._ready: Callable[[], None] | None = ready
        self._drain_seconds = drain_seconds
        self._look_seconds = look_seconds
        self._places = [_Place(index) for index in range(places)]
        self._generation = 0
        self._material: M | None = None
        self._built: B | None = None
        self._look_at = 0.0
        self._next_number = 0
        self._seats: tuple[dict[int, int], frozenset[int]] | None = None
        self._stopping = False
        self._failed = False

    def run(self) -> int:
        """Until told to stop; the exit code."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for left in self._directory.iterdir():
            left.unlink()
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)  # read from the pipe that the kernel's word wakes
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        if self._gate is not None:
            self._opened(woken, self._gate)
        while not self._stopping:
            self._tend()
            self._tell_seats()
            self._wait(woken)
        self._end()
        return 1 if self._failed else 0

    def _opened(self, woken: int, gate: int) -> None:
        """Wait until the supervisor opens the gate, or for the end."""
        poll = select.poll()
        for descriptor in (woken, gate, *(() if self._lifeline is None else (self._lifeline,))):
            poll.register(descriptor, select.POLLIN)
        self._stopping = any(descriptor != gate for descriptor, _ in poll.poll())
        os.close(gate)

    # --- what is due -------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look()
        for place in self._places:
            current = [one for one in place.workers if one.generation == self._generation]
            if self._generation and not current and now >= place.fork_at:
                place.workers.append(self._fork(place))
            for one in place.workers:
                if now >= one.kill_at:
                    log.error("prefork.worker_overdue", worker=one.number, pid=one.pid)
                    _signal(one, signal.SIGKILL)
                    one.kill_at = float("inf")

    def _tell_seats(self) -> None:
        everybody = [one for place in self._places for one in place.workers]
        owners = {one.number: one.place for one in everybody}
        seats = owners, frozenset([one.place for one in everybody if one.state == "serving"])
        if seats != self._seats:
            self._seats = seats
            self._trade.seated(*seats)

    def _look(self) -> None:
        self._look_at = time.monotonic() + self._look_seconds
        material = self._trade.look()
        if material == self._material:
            return
        try:
            self._built = self._trade.build(material)
        except TrothError as error:
            log.error("prefork.build_failed", code=error.code, detail=error.detail, fix=error.reason.fix)
            self._failed = self._stopping = self._generation == 0
            return
        self._material = material
        self._generation += 1
        for place in self._places:
            place.fork_at, place.pause = 0.0, _FIRST_PAUSE
        log.info("prefork.generation", number=self._generation)

    def _wait(self, woken: int) -> None:
        poll = select.poll()
        by_descriptor: dict[int, tuple[_Place, _Worker]] = {}
        for descriptor in (woken, *(() if self._lifeline is None else (self._lifeline,))):
            poll.register(descriptor, select.POLLIN)
        for place in self._places:
            for one in place.workers:
                for descriptor in (one.pidfd, one.channel.fileno()):
                    poll.register(descriptor, select.POLLIN)
                    by_descriptor[descriptor] = (place, one)
        for descriptor, _ in poll.poll(max(0.0, self._due() - time.monotonic()) * 1000):
            if descriptor == woken:
                self._signalled(os.read(woken, 64))
                continue
            if descriptor == self._lifeline:
                self._stopping = True
                continue
            place, one = by_descriptor[descriptor]
            if one in place.workers:
                (self._reap if descriptor == one.pidfd else self._hear)(place, one)

    def _signalled(self, numbers: bytes) -> None:
        """SIGHUP: build anew, whatever is the same; anything else: end."""
        if set(numbers) <= {signal.SIGHUP}:
            self._material, self._look_at = None, 0.0
        else:
            self._stopping = True

    def _due(self) -> float:
        due = self._look_at
        for place in self._places:
            if self._generation and not any(one.generation == self._generation for one in place.workers):
                due = min(due, place.fork_at)
            due = min([due, *(one.kill_at for one in place.workers)])
        return due

    # --- workers -----------------------------------------------------------------------------------------------

    def _hear(self, place: _Place, one: _Worker) -> None:
        try:
            said = one.channel.recv(64)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if said == b"ready":
            one.state = "serving"
            for former in place.workers:
                if former is not one and former.state != "draining":
                    self._drain(former)
            if self._ready is not None and all(any(w.state == "serving" for w in p.workers) for p in self._places):
                self._ready()
                self._ready = None
        elif not said:
            with suppress(OSError):
                one.channel.shutdown(socket.SHUT_RDWR)
            self._reap(place, one, wait=True)

    def _drain(self, one: _Worker) -> None:
        one.state = "draining"
        one.kill_at = time.monotonic() + self._drain_seconds + _OVERDUE_SECONDS
        with suppress(OSError):
            one.channel.send(b"drain")

    def _reap(self, place: _Place, one: _Worker, *, wait: bool = False) -> None:
        if wait:
            # It has closed its channel, so it is on its way out; it is not waited for longer than that takes.
            poll = select.poll()
            poll.register(one.pidfd, select.POLLIN)
            if not poll.poll(2000):
                _signal(one, signal.SIGKILL)
        _, status = os.waitpid(one.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        place.workers.remove(one)
        one.channel.close()
        os.close(one.pidfd)
        (self._directory / str(one.number)).unlink(missing_ok=True)
        self._trade.gone(one.number)
        if self._stopping or one.state == "draining":
            return
        log.error("prefork.worker_ended", worker=one.number, code=code, pause_seconds=place.pause)
        if self._ready is not None:
            # Nobody has been served yet: something is wrong that another worker would not mend.
            self._failed = self._stopping = True
            return
        now = time.monotonic()
        if now - one.since > _WELL_AFTER:
            place.pause = _FIRST_PAUSE
        place.fork_at = now + place.pause
        place.pause = min(place.pause * 2, _LONGEST_PAUSE)

    def _fork(self, place: _Place) -> _Worker:
        number = self._number()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mailbox = _mailbox(self._directory / str(number))
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:  # a fork copies one thread, and whatever locks the others held stay locked for ever
            log.error("prefork.thread_found", threads=threads)
        gc.collect()
        gc.freeze()
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            ours.close()
            seat = Seat(number, place.index, self._generation, Channel(theirs), mailbox)
            self._become(cast("B", self._built), parent, seat)
        theirs.close()
        mailbox.close()
        ours.setblocking(False)
        return _Worker(pid, os.pidfd_open(pid), number, place.index, self._generation, ours, time.monotonic())

    def _number(self) -> int:
        taken = {one.number for place in self._places for one in place.workers}
        while self._next_number in taken:
            self._next_number = (self._next_number + 1) % NUMBERS
        number, self._next_number = self._next_number, (self._next_number + 1) % NUMBERS
        return number

    def _become(self, built: B, parent: int, seat: Seat) -> NoReturn:
        code = 1
        try:
            for place in self._places:
                for one in place.workers:
                    one.channel.close()
                    os.close(one.pidfd)
            if self._lifeline is not None:
                os.close(self._lifeline)
            setproctitle(f"{self._title} worker {seat.number}")
            code = become(lambda: self._trade.work(built, seat), seat, parent)
        except Exception:
            log.exception("role.failed", code="internal.error")
        finally:
            os._exit(code)

    def _end(self) -> None:
        everybody = [one for place in self._places for one in place.workers]
        for one in everybody:
            with suppress(OSError):
                one.channel.send(b"stop")
        deadline = time.monotonic() + _STOP_SECONDS
        for one in everybody:
            poll = select.poll()
            poll.register(one.pidfd, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                log.error("prefork.worker_killed", worker=one.number, pid=one.pid)
                _signal(one, signal.SIGKILL)
            _, status = os.waitpid(one.pid, 0)
            (self._directory / str(one.number)).unlink(missing_ok=True)
            self._failed |= os.waitstatus_to_exitcode(status) != 0


def _signal(one: _Worker, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(one.pidfd, number)


def _mailbox(path: Path) -> socket.socket:
    """Bound before the fork, so that nobody who knows of the worker finds it missing."""
    path.unlink(missing_ok=True)
    mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    mailbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MAILBOX_OCTETS)
    mailbox.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAILBOX_OCTETS)
    mailbox.bind(str(path))
    mailbox.setblocking(False)
    return mailbox
