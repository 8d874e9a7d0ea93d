"""A process that loads the program once, and then becomes a role as often as it is asked to, by forking.

Loading takes a role's process more than a second of CPU and 60 MB; a fork takes milliseconds and shares the memory.
The process has one thread, no event loop, no key, no connection: what its children inherit is code. The signer is not
among them; it executes its own command, so that its memory is laid out like nobody else's.

``python -m troth.assembly.forkserver DESCRIPTOR PARENT`` speaks over the socket DESCRIPTOR (SOCK_SEQPACKET) with
:mod:`troth.assembly.forking`: a :class:`Fork` with the role's descriptors comes in, a :class:`Forked` with the child's
pidfd goes out, and an :class:`Ended` once it has ended. When the socket closes this process ends, and the kernel then
tells its children to.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import socket
import sys
from contextlib import suppress

import msgspec
from setproctitle import setproctitle

from troth.assembly.context import VARIABLE, Inherited, Role
from troth.assembly.layout import Layout
from troth.assembly.serve import die_with, serve
from troth.kit.log import get_logger
from troth.radius.eap.tickets import one_ticket

log = get_logger("assembly")

#: What is loaded before the first fork. A role that is not among them would load its program by itself.
_PRELOADED: tuple[Role, ...] = ("web", "worker", "status", "radius")
MAX_MESSAGE = 65_536
MAX_DESCRIPTORS = 128


class Fork(msgspec.Struct, frozen=True):
    """Become ``role``. ``inherited`` names descriptors by their place in this message."""

    role: Role
    data: str
    inherited: Inherited


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """The answer to :class:`Fork`, in order; the pidfd comes with it."""

    pid: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A child has ended; ``status`` as in ``subprocess``: negative for a signal."""

    pid: int
    status: int


decode_told = msgspec.msgpack.Decoder(Forked | Ended).decode
_decode_fork = msgspec.msgpack.Decoder(Fork).decode


class _Server:
    """The loop. ``children``: pidfd → pid."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        """Serve until the channel closes."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._channel.fileno():
                    self._reap(descriptor)
                elif not self._take():
                    return

    def _take(self) -> bool:
        body, descriptors, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE, MAX_DESCRIPTORS)
        if not body:
            return False
        wanted = _decode_fork(body)
        if wanted.role == "web":
            # Not before the first of them is wanted: the other roles need not wait for it.
            importlib.import_module("troth.web.app").prepare()
            gc.freeze()
        pid = os.fork()
        if pid == 0:
            self._become(wanted, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        socket.send_fds(self._channel, [msgspec.msgpack.encode(Forked(pid))], [pidfd])
        return True

    def _reap(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._channel.send(msgspec.msgpack.encode(Ended(pid, os.waitstatus_to_exitcode(status))))

    def _become(self, wanted: Fork, descriptors: list[int]) -> None:
        """The child's life; never returns."""
        code = 1
        try:
            os.setpgid(0, 0)  # signals to the group of one role are not meant for another
            for pidfd in self._children:
                os.close(pidfd)
            self._channel.close()
            setproctitle(f"troth serve --role {wanted.role} --data {wanted.data}")
            os.environ[VARIABLE] = wanted.inherited.renumbered(descriptors).encode()
            code = serve(wanted.role, Layout.at(wanted.data))
        except Exception:
            log.exception("role.failed", code="internal.error")
        finally:
            # Whatever came, nothing of this frame's callers is the child's to go on with.
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)


def main() -> int:
    """The process."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    die_with(int(sys.argv[2]))
    setproctitle("troth forkserver")
    one_ticket()
    for role in _PRELOADED:
        importlib.import_module(f"troth.assembly.roles.{role}")
    if len(os.listdir("/proc/self/task")) > 1:
        # A fork copies one thread, and whatever locks the others held stay locked for ever.
        log.error("forkserver.thread_found", threads=len(os.listdir("/proc/self/task")))
        return 1
    # What is loaded stays: the collector need not look at it, nor unshare its pages by doing so.
    gc.collect()
    gc.freeze()
    with suppress(ConnectionError, KeyboardInterrupt):
        _Server(channel).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
