"""The life of one worker that a master has forked (see ``prefork``)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import uvloop

from troth.assembly.serve import die_with, end_by_force
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("assembly")

_STOP_SECONDS = 10.0


class Channel:
    """A worker's end of the line to its master."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self.line = line

    def ready(self) -> None:
        """This worker answers now; its predecessor may drain."""
        with suppress(OSError):  # a master that is gone takes us with it
            self.line.send(b"ready")


@dataclass(eq=False)
class Seat:
    """What one worker was given.

    Attributes:
        number: its own among all that live, 0 to 255.
        place: whose sockets it answers on.
        mailbox: where the others leave what is meant for it: the file ``number`` in the master's directory.
        draining: set when a successor answers in its place.
        stop: set when it is to end.
    """

    number: int
    place: int
    generation: int
    channel: Channel
    mailbox: socket.socket
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def become(work: Callable[[], Awaitable[None]], seat: Seat, parent: int) -> int:
    """Be a worker; the exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    die_with(parent)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(work, seat))


async def _main(work: Callable[[], Awaitable[None]], seat: Seat) -> int:
    loop = asyncio.get_running_loop()
    line = seat.channel.line

    def end() -> None:
        if not seat.stop.is_set():
            seat.stop.set()
            loop.remove_reader(line)
            end_by_force(_STOP_SECONDS)

    def hear() -> None:
        try:
            said = line.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said == b"drain":
            seat.draining.set()
        else:
            end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_reader(line, hear)
    try:
        await work()
    except TrothError as error:
        log.error("role.failed", code=error.code, detail=error.detail, fix=error.reason.fix, worker=seat.number)
        return 1
    except Exception:
        log.exception("role.failed", code="internal.error", worker=seat.number)
        return 1
    finally:
        loop.remove_reader(line)
    if not seat.stop.is_set() and not seat.draining.is_set():
        log.error("role.ended_by_itself", worker=seat.number, pid=os.getpid())
        return 1
    return 0
