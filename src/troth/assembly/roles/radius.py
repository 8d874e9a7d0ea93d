"""RADIUS: a master that has sockets and the keys of session tickets, and workers that answer (see ``prefork``).

The master holds no key of ours and no connection. The server's own key, the secrets of access servers and what is known
of certificates are each worker's own, fetched after the fork and replaced while it lives; only the context on which
TLS handshakes begin is made before, so that a ticket of one worker is taken by every other.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Set

from troth.assembly.datagrams import NAMES, by_address, is_on, open_datagrams, places
from troth.assembly.errors import RADIUS_OFF, AssemblyError
from troth.assembly.listeners import Sockets
from troth.assembly.prefork import Master
from troth.assembly.radius import Shared, work
from troth.assembly.serve import Opening
from troth.assembly.worker_process import Seat
from troth.kit.clock import Clock, SystemClock
from troth.kit.log import get_logger
from troth.radius.eap import selftest
from troth.radius.eap.contexts import Contexts
from troth.radius.server.board import Board
from troth.radius.server.steering import Steering, Way

log = get_logger("assembly")


def serve(opening: Opening) -> int:
    """Until told to stop; the exit code. Raises AssemblyError where RADIUS is off. Without UDP there are no sockets."""
    if not is_on(opening.config):
        raise AssemblyError(RADIUS_OFF, f"in {opening.layout.config_file}, radius.listen and radsec.listen are empty")
    handed = opening.handed_down
    if handed is not None:
        sockets = {name: [socket.socket(fileno=fd) for fd in handed.sockets[name]] for name in handed.sockets}
    else:
        sockets, _ = open_datagrams(opening.config.radius, opening.state.listeners)

    def ready() -> None:
        log.info("role.ready", pid=os.getpid())
        if handed is not None:
            os.write(handed.ready, b"1")
            os.close(handed.ready)

    master = Master(
        Radius(opening, sockets, SystemClock()),
        places=places(opening.config.radius),
        title=f"troth serve --role radius --data {opening.layout.root}",
        directory=opening.layout.radius_mailboxes,
        lifeline=handed.lifeline if handed is not None else None,
        gate=handed.gate if handed is not None else None,
        ready=ready,
        drain_seconds=opening.config.radius.drain_seconds,
    )
    try:
        return master.run()
    finally:
        opening.layout.radius_steering.unlink(missing_ok=True)


class Radius:
    """See :class:`troth.assembly.prefork.Trade`."""

    def __init__(self, opening: Opening, sockets: Sockets, clock: Clock) -> None:
        self._opening = opening
        self._sockets = sockets
        self._clock = clock
        self._board = Board()
        settings = opening.config.radius
        count = places(settings)
        groups = [group for name in NAMES for group in by_address(sockets.get(name, ()), count)]
        self._steering = Steering(groups, node=settings.node, wanted=settings.steering)
        self._state_key = secrets.token_bytes(32)
        self._since = clock.monotonic()
        self._told: Way | None = None

    def look(self) -> int:
        """Which ticket key is due."""
        return int((self._clock.monotonic() - self._since) // (self._opening.config.radius.ticket_key_hours * 3600))

    def build(self, material: int) -> Shared:
        """A context with a ticket key of its own; on it every handshake begins. Raises EngineUnfit."""
        selftest.check()
        return Shared(Contexts(), self._state_key, self._board)

    def gone(self, number: int) -> None:
        """Nothing is handed to it any more."""
        self._board.clear(number)

    def seated(self, owners: Mapping[int, int], served: Set[int]) -> None:
        """The kernel hears of it: what begins goes to places that are served, a conversation to who has it."""
        self._board.steer(self._steering.seat(owners, served))
        way = self._steering.way
        if way != self._told:
            self._told = way
            log.info("radius.steering", places=way.places, kernel=not way.why_not, why_not=way.why_not or None)
            way.tell(self._opening.layout.radius_steering)

    async def work(self, built: Shared, seat: Seat) -> None:
        """One worker."""
        count = places(self._opening.config.radius)
        mine: dict[str, list[socket.socket]] = {}
        for name in NAMES:
            bound = self._sockets.get(name, [])
            each = len(bound) // count
            mine[name] = bound[seat.place * each : (seat.place + 1) * each]
        await work(self._opening, built, seat, mine, self._clock)
