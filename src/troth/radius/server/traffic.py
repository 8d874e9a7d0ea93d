"""One worker's UDP traffic: which packet is for whom, and in which order.

Mostly the kernel has given a packet to the worker that it is for (``steering``); what follows holds however it came.
Unknown addresses are dropped first, since that costs one look-up. Of what is left, a packet whose State names another
worker of this machine goes to it; one without State begins a conversation, waits behind those that go on with one, and
goes to whoever has the least to do. Which worker a beginning was given to is remembered for as long as it may come
again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.nas.model import Nas
from troth.radius.server.board import Row
from troth.radius.server.desk import Desk, Listener, Source
from troth.radius.server.handover import Handover, Sent
from troth.radius.server.pressure import Newcomers, Quiet
from troth.radius.server.udp import Datagram, UdpSockets
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import EAP_MESSAGE, STATE, Code, Packet, decode

log = get_logger("radius")

_REMEMBERED = 16_384
_ACCESS_REQUEST = int(Code.ACCESS_REQUEST)
#: As for sockets: see ``udp``.
_AT_ONCE = 8
_COUNTED: dict[Sent, str] = {"sent": "handed_over", "full": "not_handed_over", "gone": "orphaned"}


class AccessServers(Protocol):
    """Who may ask (``troth.radius.nas``)."""

    def of(self, address: str) -> Nas | None:
        """The access server at that address."""
        ...


#: (node, worker) that a State names, if it is one of ours; it need not be proved for a packet to be passed on.
Owner = Callable[[bytes], "tuple[int, int] | None"]


class Traffic:
    """See the module. Belongs to one event loop.

    Args:
        listeners: what each of the place's sockets is for.
        node: this machine's.
        live: how much is under way here: by that others judge whether to hand something over.
    """

    def __init__(
        self,
        sockets: UdpSockets,
        listeners: Sequence[Listener],
        desk: Desk,
        access_servers: AccessServers,
        row: Row,
        handover: Handover,
        owner: Owner,
        clock: Clock,
        *,
        node: int,
        remember_seconds: float,
        live: Callable[[], int],
    ) -> None:
        self._sockets = sockets
        self._listeners = tuple(listeners)
        self._desk = desk
        self._access_servers = access_servers
        self._row = row
        self._handover = handover
        self._owner = owner
        self._clock = clock
        self._node = node
        self._remember = remember_seconds
        self._live = live
        #: Where beginnings went that were handed over: (address, port, Identifier, authenticator) → (worker, when).
        self._went: dict[tuple[object, ...], tuple[int, float]] = {}
        self._newcomers: Newcomers[tuple[Packet, Datagram, Nas]] = Newcomers(self._begin)
        self._scheduled = False
        self._quiet = Quiet()
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self.counted: Counter[str] = Counter()
        self._told_live = -1
        #: Conversations that began here.
        self.begun = 0

    def start(self) -> None:
        """Take packets, from the sockets and from other workers."""
        self._reading = True
        for which, one in enumerate(self._sockets.sockets):
            self._loop.add_reader(one, self._sockets.readable, which)
        self._loop.add_reader(self._handover.fileno(), self._handed)
        self._row.accept()

    def stop_reading(self) -> None:
        """A successor reads from the sockets; what other workers hand over is still taken."""
        if self._reading:
            self._reading = False
            self._row.drain()
            for one in self._sockets.sockets:
                self._loop.remove_reader(one)

    def close(self) -> None:
        """Take nothing any more."""
        self.stop_reading()
        self._loop.remove_reader(self._handover.fileno())
        self._row.leave()

    @property
    def newcomers(self) -> Newcomers[tuple[Packet, Datagram, Nas]]:
        """Beginnings that wait for their turn."""
        return self._newcomers

    # --- what comes in -----------------------------------------------------------------------------------------

    def received(self, datagram: Datagram) -> None:
        """A packet from one of our sockets."""
        nas = self._access_servers.of(datagram.address[0])
        if nas is None:
            self._stranger(datagram)
            return
        try:
            packet = decode(datagram.data)
        except PacketRefused as error:
            self.counted[error.code] += 1
            return
        if packet.code != _ACCESS_REQUEST:
            self._take(packet, datagram, nas)
            return
        state = packet.firsts.get(STATE)
        owner = self._owner(state) if state is not None else None
        if owner is not None:
            node, worker = owner
            if node == self._node and worker != self._row.number:
                sent = self._handover.send(worker, datagram, new=False)
                self.counted[_COUNTED[sent]] += 1
                if sent == "gone":
                    self._take(packet, datagram, nas)
                return  # where there was no room, the access server asks again
            self._take(packet, datagram, nas)
        elif state is None and EAP_MESSAGE in packet.firsts:
            self._newcomers.add((packet, datagram, nas))
            self._schedule()
        else:
            self._take(packet, datagram, nas)

    def _handed(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                handed = self._handover.receive()
            except ValueError:
                self.counted["frame"] += 1
                continue
            if handed is None:
                return
            self.counted["taken_over"] += 1
            if handed.new:
                self._row.took(handed.sender)
                self._row.begun()
                self.begun += 1
            nas = self._access_servers.of(handed.datagram.address[0])
            if nas is None or handed.datagram.socket >= len(self._listeners):
                continue
            try:
                self._take(decode(handed.datagram.data), handed.datagram, nas)
            except PacketRefused as error:
                self.counted[error.code] += 1

    # --- what begins -------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin_some)

    def _begin_some(self) -> None:
        self._scheduled = False
        if self._newcomers.begin():
            self._schedule()

    def _begin(self, newcomer: tuple[Packet, Datagram, Nas]) -> None:
        packet, datagram, nas = newcomer
        key = (*datagram.address[:2], packet.identifier, packet.authenticator)
        now = self._clock.monotonic()
        went = self._went.get(key)
        if went is not None and now - went[1] < self._remember:
            to = went[0]
        else:
            to = self._row.least()
        if to != self._row.number and self._handover.send(to, datagram, new=True) == "sent":
            self.counted["handed_new"] += 1
            self._row.handed(to)
            self._remember_it(key, to, now)
            return
        self._row.begun()
        self.begun += 1
        self._take(packet, datagram, nas)

    def _remember_it(self, key: tuple[object, ...], to: int, now: float) -> None:
        self._went[key] = to, now
        while len(self._went) > _REMEMBERED or now - next(iter(self._went.values()))[1] > self._remember:
            del self._went[next(iter(self._went))]

    # --- what is answered --------------------------------------------------------------------------------------

    def _take(self, packet: Packet, datagram: Datagram, nas: Nas) -> None:
        address = datagram.address
        source = Source(address[0], address[1], self._listeners[datagram.socket], nas)

        def reply(answer: bytes | None) -> None:
            if answer is not None:
                self._sockets.send(datagram, answer)
            live = self._live()
            if live != self._told_live:
                self._told_live = live
                self._row.live(live)

        self._desk.take(packet, source, reply)

    def _stranger(self, datagram: Datagram) -> None:
        self.counted["stranger"] += 1
        kept = self._quiet.may_say(datagram.address[0], self._clock.monotonic())
        if kept is not None:
            log.warning("radius.stranger", address=datagram.address[0], octets=len(datagram.data), kept_back=kept)
