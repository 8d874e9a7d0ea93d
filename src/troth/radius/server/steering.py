"""The kernel is told which worker's socket a datagram is for, so that few packets have to be handed over.

Sockets of one address that share a port (``SO_REUSEPORT``) are numbered by the order in which they were bound, and a
program attached to any of them chooses by that number (``SO_ATTACH_REUSEPORT_CBPF``, Linux 4.5 and later; no privilege
is needed). Where that cannot be had, the kernel chooses by a hash of both ends, and workers hand over what is not
theirs (``handover``): the same answers, for more CPU.
"""

from __future__ import annotations

import errno
import socket
import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import Final

from msgspec import DecodeError
from msgspec import Struct as Record
from msgspec.json import decode, encode

from troth.kit.log import get_logger
from troth.radius.server.steering_program import MOST, STEPS, Instruction, program

log = get_logger("radius")

#: asm-generic/socket.h.
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_SO_DETACH_REUSEPORT_BPF: Final = 68
_FILTER = Struct("=HBBI")
_PROGRAM = Struct("@HP")
#: Older kernels have 20 KiB for a program once they have translated it: then fewer attributes are walked.
_STEPS: Final = (STEPS, STEPS // 2, STEPS // 4)


class Way(Record, frozen=True):
    """How packets find their worker on one machine, as its master tells whoever asks.

    Attributes:
        places: workers that answer.
        why_not: why the kernel chooses by its hash; empty: it knows whose a packet is.
    """

    places: int
    why_not: str = ""

    def tell(self, path: Path) -> None:
        """Replace what stands there."""
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(encode(self))
        draft.replace(path)


def way_told(path: Path) -> Way | None:
    """What the master of this machine has told; None: there is none, or it has not."""
    try:
        return decode(path.read_bytes(), type=Way)
    except (OSError, DecodeError):
        return None


class Steering:
    """See the module. Belongs to one process: the one that knows who lives.

    Args:
        groups: for each address, its sockets in the order in which they were bound: one for each place.
        wanted: False: the kernel shall choose by its hash, whatever was attached before.
    """

    def __init__(self, groups: Sequence[Sequence[socket.socket]], *, node: int, wanted: bool = True) -> None:
        self._groups = [group for group in groups if group]
        self._node = node
        self._places = max((len(group) for group in self._groups), default=0)
        self._wanted = wanted and self._places > 1
        #: Why the kernel chooses by its hash; empty: it does not.
        self.why_not = "" if self._wanted else "one worker" if wanted else "radius.steering is off"
        if not self._wanted:
            self._leave()

    @property
    def way(self) -> Way:
        """For :func:`way_told`."""
        return Way(self._places, self.why_not)

    @property
    def on(self) -> bool:
        """Whether the kernel knows whose a packet is."""
        return self._wanted and not self.why_not

    def seat(self, owners: Mapping[int, int], served: Collection[int]) -> bool:
        """Workers (number → place) have come or gone; what begins is for those places that are ``served``.

        Without any, for all: it waits in the sockets for whoever comes. Whether the kernel has taken it.
        """
        if not self._wanted:
            return False
        places = sorted(served) or list(range(self._places))
        was = self.why_not
        try:
            self._attach(owners, places)
            self.why_not = ""
        except OSError as error:
            self.why_not = error.strerror or str(error)
            if self.why_not != was:
                log.warning("radius.not_steered", error=self.why_not)
            # What was attached before knows of workers that are gone: no program is better than a former one.
            self._leave()
        return self.on

    def _attach(self, owners: Mapping[int, int], places: Sequence[int]) -> None:
        for steps in _STEPS:
            made = program(self._node, owners, places, steps=steps)
            try:
                for group in self._groups:
                    attach(group[0], made)
            except OSError as error:
                if error.errno == errno.ENOMEM and steps != _STEPS[-1]:
                    continue
                raise
            return

    def _leave(self) -> None:
        for group in self._groups:
            detach(group[0])


def attach(one: socket.socket, made: Sequence[Instruction]) -> None:
    """Have the kernel choose among the sockets that share the port of ``one``. Raises OSError."""
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOPROTOOPT, "only Linux can be told which worker a packet is for")
    if len(made) > MOST:
        raise OSError(errno.E2BIG, f"{len(made)} instructions")
    octets = array("B", b"".join([_FILTER.pack(*each) for each in made]))
    address, _ = octets.buffer_info()
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, _PROGRAM.pack(len(made), address))


def detach(one: socket.socket) -> None:
    """Have the kernel choose by its hash again; nothing where it does so already, or knows no other way."""
    if sys.platform.startswith("linux"):
        try:
            one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOPROTOOPT, errno.EINVAL):
                raise
