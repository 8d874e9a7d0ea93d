"""Who is at the other end of the socket: the kernel's word, and what ``/proc`` says of that very process.

The kernel names pid, uid and gid as they were when the peer connected. A pid can be another's by the time ``/proc`` is
read, so a *pidfd* of the peer is taken first, from the socket itself where the kernel gives one (``SO_PEERPIDFD``,
Linux 6.5): while that process has not ended, its pid is nobody else's, and it is looked at once more after all is
read. Older kernels leave the moment between connecting and looking: there a process that connects, hands its socket
to a child and dies might be taken for a newcomer under its pid. Start times are compared to make it smaller.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from troth.agent.errors import AgentError
from troth.agent.spiffe import cgroups
from troth.agent.spiffe.errors import CALLER

_UCRED = struct.Struct("3i")
_SO_PEERPIDFD = 77
_START_TIME = 21  # of /proc/PID/stat, counted from 0 (proc(5): field 22)


@dataclass(frozen=True, slots=True)
class Caller:
    """A process as it was found.

    Attributes:
        program: path of its executable; empty where that would say nothing: in a mount namespace or root that is not
            the host's, or when the file has been replaced.
        placement: unit, container, pod.
    """

    pid: int
    uid: int
    gid: int
    program: str = ""
    placement: cgroups.Placement = cgroups.NOWHERE

    def selectors(self) -> frozenset[str]:
        """What a rule may ask of it, but for what Kubernetes knows."""
        found = {f"unix:uid:{self.uid}", f"unix:gid:{self.gid}"}
        with contextlib.suppress(KeyError):
            found.add(f"unix:user:{pwd.getpwuid(self.uid).pw_name}")
        with contextlib.suppress(KeyError):
            found.add(f"unix:group:{grp.getgrgid(self.gid).gr_name}")
        if self.program:
            found.add(f"unix:path:{self.program}")
        where = self.placement
        found |= {
            f"{name}:{value}"
            for name, value in (
                ("systemd:unit", where.unit),
                ("container:id", where.container),
                ("k8s:pod-uid", where.pod),
            )
            if value
        }
        return frozenset(found)


def identify(peer: socket.socket, *, proc: Path = Path("/proc")) -> Caller:
    """The process at the other end of ``peer``. Raises AgentError when it cannot be told for certain."""
    pid, uid, gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if pid <= 0:
        raise AgentError(CALLER, "the caller lives in a process namespace that cannot be seen from here")
    with _pidfd(peer, pid) as descriptor:
        before = _start_time(proc, pid)
        caller = Caller(pid, uid, gid, _program(proc, pid), cgroups.read(_text(proc / str(pid) / "cgroup")))
        if _start_time(proc, pid) != before or _ended(descriptor):
            raise AgentError(CALLER, "the caller ended while it was looked at")
    return caller


@contextlib.contextmanager
def _pidfd(peer: socket.socket, pid: int) -> Iterator[int]:
    try:
        descriptor = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            raise AgentError(CALLER, f"process {pid}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ended(descriptor: int) -> bool:
    """A pidfd becomes readable when its process ends."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _start_time(proc: Path, pid: int) -> str:
    # The program's name stands in parentheses and may hold anything, parentheses and spaces included.
    fields = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
    if len(fields) < _START_TIME - 1:
        raise AgentError(CALLER, f"process {pid}: /proc says nothing of its start")
    return fields[_START_TIME - 2]


def _program(proc: Path, pid: int) -> str:
    one = proc / str(pid)
    try:
        if os.readlink(one / "ns" / "mnt") not in _own_file_systems(proc) or os.readlink(one / "root") != "/":
            return ""
        found = os.readlink(one / "exe")
    except OSError:
        return ""
    return "" if found.endswith(" (deleted)") else found


def _own_file_systems(proc: Path) -> set[str]:
    """Mount namespaces in which a path is the host's: that of its first process, and the agent's own (its unit has
    one to itself)."""
    found: set[str] = set()
    for one in ("1", "self"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(proc / one / "ns" / "mnt"))
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            return opened.read(cgroups.MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise AgentError(CALLER, f"{path}: {error.strerror}") from error
