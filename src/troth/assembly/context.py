"""What a role is given to work with, and how the supervisor hands it down."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from troth.assembly.layout import Layout
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.settings import Config

Role = Literal["signer", "worker", "status", "radius", "web"]
#: In the order of starting: each needs those before it. They are stopped the other way round.
ROLES: tuple[Role, ...] = ("signer", "worker", "status", "radius", "web")
#: Those that need the database: they wait at the gate for it, with their program loaded.
GATED: frozenset[Role] = frozenset({"worker", "status", "radius", "web"})
#: One process that forks others for its work (``prefork``), however many they are.
FORKING: frozenset[Role] = frozenset({"radius"})
#: Which TCP listeners a role answers on.
LISTENERS: Mapping[Role, tuple[str, ...]] = {
    "signer": (), "worker": (), "status": ("http",), "radius": (), "web": ("https", "admin"),
}  # fmt: skip

VARIABLE = "TROTH_INHERITED"


@dataclass(frozen=True, kw_only=True)
class RoleContext:
    """Handed to a role's ``run``.

    Attributes:
        index: which one of several processes of this role, from 0.
        state: the public addresses.
        sockets: sockets by name: ``https``, ``http``, ``admin``, ``admin_socket``, and those of ``datagrams``; a name
            may have several (IPv4 and IPv6).
        database_url: where the store is.
        stop: set when it is time to end; ``run`` then finishes what it is doing and returns.
        ready: called once, when requests are answered.
    """

    role: Role
    index: int
    config: Config
    layout: Layout
    state: State
    clock: Clock
    sockets: Mapping[str, Sequence[socket.socket]]
    database_url: str
    stop: asyncio.Event
    ready: Callable[[], None]

    @property
    def signer_socket(self) -> Path:
        """Where the signer listens."""
        return signer_socket(self.config, self.layout)


def signer_socket(config: Config, layout: Layout) -> Path:
    """Where the signer listens: as configured, or in the data directory."""
    return Path(config.signer.socket) if config.signer.socket else layout.signer_socket


class Inherited(msgspec.Struct, frozen=True, kw_only=True):
    """What a child of the supervisor finds in its environment: descriptor numbers, and whose child it is.

    Attributes:
        parent: the process that it ends with: the supervisor, or the fork server.
        sockets: listener name → descriptors.
        ready: write end of a pipe; a byte says that the role is ready.
        gate: read end of a pipe that ends when the role may begin: until then it only loads its program.
        lifeline: read end of a pipe that nobody writes to; its end is the supervisor's end.
    """

    parent: int
    index: int
    sockets: dict[str, list[int]]
    ready: int
    gate: int | None
    lifeline: int
    database_url: str

    def encode(self) -> str:
        """The value of the environment variable."""
        return msgspec.json.encode(self).decode()

    def descriptors(self) -> tuple[int, ...]:
        """All descriptors that the child must inherit."""
        gate = () if self.gate is None else (self.gate,)
        return (self.ready, *gate, self.lifeline, *(fd for fds in self.sockets.values() for fd in fds))

    def by_place(self) -> Inherited:
        """The same with each descriptor's place in :meth:`descriptors` for its number, to be sent to a process where
        they will have other numbers."""
        return self._with({number: place for place, number in enumerate(self.descriptors())})

    def renumbered(self, descriptors: Sequence[int]) -> Inherited:
        """What :meth:`by_place` made, with the numbers that the descriptors have here."""
        return self._with(dict(enumerate(descriptors)))

    def _with(self, numbers: Mapping[int, int]) -> Inherited:
        return msgspec.structs.replace(
            self,
            ready=numbers[self.ready],
            gate=None if self.gate is None else numbers[self.gate],
            lifeline=numbers[self.lifeline],
            sockets={name: [numbers[one] for one in group] for name, group in self.sockets.items()},
        )


def inherited() -> Inherited | None:
    """What the supervisor handed down, or None for a role that runs alone. Our own children do not see it again."""
    text = os.environ.pop(VARIABLE, None)
    return msgspec.json.decode(text, type=Inherited) if text is not None else None
