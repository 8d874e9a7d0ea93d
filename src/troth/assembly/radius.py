"""One RADIUS worker: what it holds, what keeps that true, and who answers what."""

from __future__ import annotations

import asyncio
import gc
import hmac
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from troth.assembly.context import RoleContext
from troth.assembly.datagrams import ACCOUNTING, AUTHENTICATION
from troth.assembly.journals import PATIENCE, drain_of
from troth.assembly.mint import judge_of, places_of
from troth.assembly.radius_ground import AccessServers, Placing, Telling, leaf_judge, networks_tls, stapled_by
from troth.assembly.radius_ways import Ways
from troth.assembly.roles.common import Member, database_of
from troth.assembly.serve import Opening
from troth.assembly.worker_process import Seat
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.files import made_once
from troth.kit.log import get_logger
from troth.kit.radius_settings import RadiusSettings
from troth.kit.waiting import until_set
from troth.pki.signer.client import SignerClient
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.following import Follower
from troth.radius.admission.model import Attempt, Network, Verdict
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.errors import NO_IDENTITY
from troth.radius.eap.server import EapServer
from troth.radius.eap.settings import EapLimits
from troth.radius.eap.state import StateMaker, holder
from troth.radius.identity.source import source_of
from troth.radius.identity.stapling import Stapler
from troth.radius.server.access import Access
from troth.radius.server.asked import Asking
from troth.radius.server.board import Board
from troth.radius.server.desk import Desk, Listener, Source
from troth.radius.server.handover import Handover
from troth.radius.server.pressure import Room
from troth.radius.server.tally import Tally, named
from troth.radius.server.traffic import Traffic
from troth.radius.server.udp import Datagram, UdpSockets
from troth.radius.sessions.desk import SessionDesk
from troth.radius.wire.duplicates import Duplicates
from troth.radius.wire.packet import Packet
from troth.radius.wire.signing import Protection
from troth.store.pool import Database
from troth.trust.connecting.journal import Journal
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore

log = get_logger("assembly")

#: What a worker that was told to stop may still finish.
_STOP_SECONDS = 3.0
_LOOK_SECONDS = 0.05
#: What was read, or handed over by others, when a successor took the place is begun within that.
_ON_THE_WAY_SECONDS = 0.5
#: At a first start, on a machine that is slow and busy, the signer may need most of it.
_IDENTITY_SECONDS = 90.0
_IDENTITY_LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class Shared:
    """What the master made for all workers of one generation."""

    contexts: Contexts
    state_key: bytes
    board: Board


async def work(
    opening: Opening, shared: Shared, seat: Seat, sockets: Mapping[str, Sequence[socket.socket]], clock: Clock
) -> None:
    """Answer until told to stop, or until what was begun has ended once a successor answers."""
    context = RoleContext(
        role="radius",
        index=seat.number,
        config=opening.config,
        layout=opening.layout,
        state=opening.state,
        clock=clock,
        sockets=sockets,
        database_url=opening.database_url,
        stop=asyncio.Event(),  # of what stands under the answers: it ends after them
        ready=seat.channel.ready,
    )
    async with (
        database_of(context) as (database, instance),
        SignerClient(context.signer_socket, "radius", context.layout.secrets) as signer,
    ):
        await Worker(context, shared, seat, database, instance, signer).run()


class Worker:
    """See the module. Made within the event loop that it belongs to."""

    def __init__(
        self,
        context: RoleContext,
        shared: Shared,
        seat: Seat,
        database: Database,
        instance: Member,
        signer: SignerClient,
    ) -> None:
        settings, clock = context.config.radius, context.clock
        self._context, self._shared, self._seat = context, shared, seat
        self._settings: RadiusSettings = settings
        policies = PolicyCache(PolicyStore(database))
        self._journal = Journal.open(context.layout.journal)
        self._drain = drain_of(context, database, patience=PATIENCE)
        self._sessions = SessionDesk(database, clock)
        tags = made_once(context.layout.secrets / "radius-tags.secret", lambda: secrets.token_bytes(32))
        self._placing = Placing(database, hmac.digest(tags, b"chargeable", "sha256"))
        self._nas = AccessServers(database, context)
        self._identity = source_of(self._settings, database, signer, clock)
        self._stapler = Stapler(shared.contexts, stapled_by(), clock)
        self._follower = Follower(
            database,
            judge_of(context, database, policies),
            clock,
            instance.id,
            pulse=instance.pulse,
            places=places_of(context.config.places),
            listeners={
                "place": self._placing.refresh,
                "nas": self._access_servers,
                "proxy": self._pools,
                **dict.fromkeys(("mab", "pap"), self._lists),
                "certificate": self._certificates,
                **dict.fromkeys(("radius", "network", "authority", "trust_anchor"), self._install),
            },
        )
        decider = self._follower.decider
        self._admissions = Admissions(
            decider, policies, self._journal, clock, on_open=self._follower.call,
            hold_back=settings.hold_back_milliseconds / 1000,
        )  # fmt: skip
        self._follower.on_closed = self._admissions.breaker.close
        telling = Telling(clock)
        self._ways = Ways(
            context, database, self._admissions, lambda: decider.ground, self._placing,
            lambda verdict, nas, packet: self._access.granted(verdict, nas, packet), self._opened, telling,
        )  # fmt: skip
        self._eap = EapServer(
            shared.contexts,
            StateMaker(shared.state_key, node=settings.node, worker=seat.number),
            clock,
            EapLimits(
                fragment_size=settings.fragment_octets,
                conversations=settings.conversations,
                conversations_per_nas=settings.conversations_per_client,
            ),
            leaf_judge(decider.table),
        )
        self._asking = Asking(self._joined)
        self._access = Access(
            self._eap,
            self._admissions,
            self._asking,
            self._placing,
            self._opened,
            clock,
            others=self._ways.others,
            telling=telling,
            known=lambda nas, network: (self._nas.named(nas), decider.ground.networks.by_name.get(network)),
            reject_delay=settings.reject_delay_milliseconds / 1000,
        )
        self._desk = Desk(
            self._access,
            self._account,
            clock,
            duplicates=Duplicates(seconds=settings.duplicate_seconds),
            room=Room(settings.in_flight, settings.in_flight_per_client),
            seen=self._nas.seen,
        )
        self._traffic = self._front()
        self._tally = Tally(database, self._counted)

    # --- its parts ---------------------------------------------------------------------------------------------

    def _front(self) -> Traffic:
        """The sockets of this place, in the order that all workers have: authentication, then accounting."""
        sockets, listeners = self._context.sockets, list[Listener]()
        mine: list[socket.socket] = []
        for name, kind in ((AUTHENTICATION, "auth"), (ACCOUNTING, "acct")):
            for one in sockets.get(name, ()):
                mine.append(one)
                listeners.append("acct" if kind == "acct" else "auth")
        seat, clock = self._seat, self._context.clock

        def received(datagram: Datagram) -> None:
            self._traffic.received(datagram)

        return Traffic(
            UdpSockets(mine, received),
            listeners,
            self._desk,
            self._nas,
            self._shared.board.sit(seat.number, clock.monotonic),
            Handover(seat.number, seat.mailbox, str(self._context.layout.radius_mailboxes)),
            holder,
            clock,
            node=self._settings.node,
            remember_seconds=self._settings.duplicate_seconds,
            live=self._live,
        )

    def _live(self) -> int:
        return self._eap.open + self._desk.under_way

    def _joined(self, ssid: str | None, nas: str, port_type: str | None, realm: str | None) -> Network | None:
        networks = self._follower.decider.ground.networks
        return networks.joined(ssid=ssid, nas=nas, port_type=port_type, realm=realm)

    async def _account(self, packet: Packet, source: Source, protection: Protection) -> bytes | None:
        reply = await self._sessions.account(packet, source.nas.name, source.address, (protection,))
        self._ways.accounted(packet, source.nas, protection, self._asking.read(packet, source.nas).network)
        return reply

    async def _install(self) -> None:
        """Networks, anchors or the server's certificate have changed: handshakes begin on them from now."""
        identity = await self._identity.refresh()
        self._shared.contexts.install(identity, networks_tls(self._follower.decider.ground))
        self._asking.forget()
        await self._ways.install(identity)

    async def _access_servers(self) -> None:
        await self._nas.refresh()
        self._ways.replace_access_servers(self._nas.table)

    async def _pools(self) -> None:
        await self._ways.refresh_pools()

    async def _lists(self) -> None:
        await self._ways.refresh_lists()

    async def _certificates(self) -> None:
        await self._ways.recheck()

    def _opened(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> None:
        if attempt.method == "eap-tls":
            self._ways.learn(attempt.calling_station_id)

    def _counted(self) -> dict[str, int]:
        return {
            **named("packets", self._desk.counted),
            **self._ways.counted(),
            **named("traffic", self._traffic.counted),
            "traffic|newcomers_dropped": self._traffic.newcomers.dropped,
            **named("admissions", self._admissions.counts),
            **named("marked", self._admissions.marked),
            **named("held_back", self._admissions.held_back),
            **named("eap", self._access.broken),
            "eap|made_way": self._eap.dropped,
            "eap|stapled": self._shared.contexts.staples_given,
            "eap|unsettled": self._admissions.dropped,
            **named("shown", self._shared.contexts.shown),
        }

    # --- its life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer; returns when told to stop, or drained."""
        stop, seat = self._context.stop, self._seat
        await self._placing.refresh()
        await self._nas.refresh()
        await self._ways.refresh_pools()
        await self._ways.refresh_lists()
        self._ways.serve(self._desk, self._nas.table)
        current = asyncio.Event()
        under = [
            asyncio.create_task(self._follower.run(stop, current.set)),
            asyncio.create_task(self._sessions.run(stop)),
            asyncio.create_task(self._drain.run(stop)),
            asyncio.create_task(self._tally.run(stop)),
            asyncio.create_task(self._nas.run(stop)),
            asyncio.create_task(self._stapler.run(stop)),
            asyncio.create_task(self._tend(stop)),
        ]
        told = [asyncio.create_task(one.wait()) for one in (current, seat.stop, seat.draining)]
        try:
            await asyncio.wait([*under, *told], return_when=asyncio.FIRST_COMPLETED)
            if current.is_set() and not seat.stop.is_set():
                await self._with_identity()
                # The table is loaded, and stays; conversations leave few cycles. To look through all of it after every
                # 700 objects, as is usual, took 3 % of an authentication.
                gc.collect()
                gc.freeze()
                gc.set_threshold(10_000, 20, 20)
                self._traffic.start()
                under.append(asyncio.create_task(self._ways.run(stop)))
                log.info("radius.serving", worker=seat.number, place=seat.place, generation=seat.generation)
                seat.channel.ready()
                await asyncio.wait([*under, *told[1:]], return_when=asyncio.FIRST_COMPLETED)
                await self._finish()
        finally:
            self._traffic.close()
            stop.set()
            for task in told:
                task.cancel()
            ended = await asyncio.gather(*under, return_exceptions=True)
            await self._journal.close()
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _finish(self) -> None:
        """Take nothing new, and end what was begun."""
        self._traffic.stop_reading()
        seat, clock = self._seat, self._context.clock
        seconds = self._settings.drain_seconds if seat.draining.is_set() else _STOP_SECONDS
        begun = clock.monotonic()
        deadline = begun + seconds
        while clock.monotonic() < deadline:
            if seat.stop.is_set():
                deadline = min(deadline, clock.monotonic() + _STOP_SECONDS)
                left = self._desk.under_way
            else:
                # Who was only asked to start is gone on with by any other.
                on_the_way = clock.monotonic() - begun < _ON_THE_WAY_SECONDS
                left = self._desk.under_way or self._eap.open or on_the_way
            if not left:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _with_identity(self) -> None:
        """Networks and certificate for the first time; at a first start the certificate is just being made."""
        deadline = self._context.clock.monotonic() + _IDENTITY_SECONDS
        await self._install()
        while self._shared.contexts.identity is None and not self._seat.stop.is_set():
            if self._context.clock.monotonic() > deadline:
                log.error("radius.without_identity", code=NO_IDENTITY.code, fix=NO_IDENTITY.fix)
                return
            await asyncio.sleep(_LOOK_SECONDS)
            await self._install()

    async def _tend(self, stop: asyncio.Event) -> None:
        """Conversations that nobody goes on with; and now and then another look at the certificate and its dates."""
        since = self._context.clock.monotonic()
        while not stop.is_set():
            await until_set(stop, 1.0)
            try:
                await self._access.lapse()
                if self._context.clock.monotonic() - since > _IDENTITY_LOOK_SECONDS and not stop.is_set():
                    since = self._context.clock.monotonic()
                    await self._install()
            except TrothError as error:
                log.warning("radius.postponed", code=error.code, detail=error.detail)
