"""What a RADIUS worker has beside UDP and EAP-TLS: RadSec, other servers, and devices without certificates."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from troth.assembly.context import RoleContext
from troth.assembly.listeners import addresses_of, parse_address
from troth.assembly.radius_ground import Placing, Telling
from troth.assembly.ways import pool_desk
from troth.kit.errors import TrothError
from troth.kit.files import made_once
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.model import Network, PlaceChoice, Verdict
from troth.radius.admission.service import Ground
from troth.radius.eap.identity import ServerIdentity
from troth.radius.methods.desk import Certified, ListDesk
from troth.radius.methods.owners import Owners
from troth.radius.methods.service import Granted, Opened, WithoutOurs
from troth.radius.nas.model import Nas, NasTable
from troth.radius.proxy.definition import ServerDefinition
from troth.radius.proxy.errors import SECRET_MISSING, ProxyError
from troth.radius.proxy.pool import Pool
from troth.radius.proxy.service import Proxies
from troth.radius.proxy.upstream import RadsecUpstream, UdpUpstream, Upstream
from troth.radius.radsec.client import RadsecClient, Server
from troth.radius.radsec.connection import Caller
from troth.radius.radsec.errors import UNREACHABLE, RadsecError
from troth.radius.radsec.judging import Believed, judged
from troth.radius.radsec.names import PeerCertificate
from troth.radius.radsec.orders import ReverseDesk
from troth.radius.radsec.peers import Peers
from troth.radius.radsec.server import RadsecServer
from troth.radius.radsec.tls import Identity, client_context, server_context
from troth.radius.radsec.versions import Version
from troth.radius.server.desk import Desk, Source
from troth.radius.server.tally import named
from troth.radius.wire.packet import USER_NAME, Attribute, Packet
from troth.radius.wire.signing import Protection
from troth.store.pool import Database
from troth.trust.model import Outcome

log = get_logger("assembly")

_BACKLOG = 512
_LISTS_SECONDS = 30.0
_PORT_SECONDS = 5.0


class Ways:
    """See the module. Made within the event loop that it belongs to.

    Args:
        ground: what decisions stand on now: authorities, anchors, revocation lists.
        granted: what every Accept says.
    """

    def __init__(
        self,
        context: RoleContext,
        database: Database,
        admissions: Admissions,
        ground: Callable[[], Ground],
        placing: Placing,
        granted: Granted,
        opened: Opened,
        telling: Telling,
    ) -> None:
        self._context, self._database = context, database
        self._settings, clock = context.config.radsec, context.clock
        self._ground = ground
        self._placing = placing
        key = made_once(context.layout.secrets / "radius-tags.secret", lambda: secrets.token_bytes(32))
        self._pools = pool_desk(context, database)
        self._lists = ListDesk(database, clock)
        self._certified = Certified(database)
        self._identity: ServerIdentity | None = None
        self._server_context: ssl.SSLContext | None = None
        self._believed = Believed({})
        self._versions: Mapping[str, int] = {}
        self._pool_secrets: Mapping[tuple[str, str], bytes] = {}
        self.proxies = Proxies(
            self._connect, self._placed, clock, tag=hmac.digest(key, b"loop", "sha256")[:8],
            f_ticks_key=hmac.digest(key, b"f-ticks", "sha256"),
        )  # fmt: skip

        owners = Owners(database.lookups, clock, lambda: ground().networks.profiles)
        self.others = WithoutOurs(
            admissions, granted, opened, self.proxies, self._certified, owners.owns, clock, telling=telling,
            reject_delay=context.config.radius.reject_delay_milliseconds / 1000,
        )  # fmt: skip
        self.radsec: RadsecServer | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def learn(self, address: str | None) -> None:
        """A device with that address has just been let in by a certificate."""
        self._certified.learn(address)

    def accounted(self, packet: Packet, nas: Nas, protection: Protection, network: Network | None) -> None:
        """Accounting was taken down here; the pool that it belongs to is told too, where it wants that."""
        pool = self.proxies.chosen(
            packet.first(USER_NAME),
            network_pool=network.proxy if network is not None else None,
            by_realm=network is not None and bool(network.match.realms),
        )
        if pool is None or not pool.definition.accounting:
            return
        task = asyncio.create_task(self._account(pool, packet, nas, protection))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _account(self, pool: Pool, packet: Packet, nas: Nas, protection: Protection) -> None:
        await self.proxies.accounting(pool, packet, nas, protection)

    # --- kept true ---------------------------------------------------------------------------------------------

    async def refresh_pools(self) -> None:
        """Pools or their secrets have changed. Raises StoreError."""
        force = await self._pools.in_force()
        changed = [name for name, version in force.versions.items() if self._versions.get(name) != version]
        self._versions, self._pool_secrets = force.versions, force.secrets
        self.proxies.replace(force.pools, changed=changed)

    async def refresh_lists(self) -> None:
        """The lists have changed. Raises StoreError."""
        self.others.lists = await self._lists.lists()

    async def recheck(self) -> None:
        """Something was told of certificates. Raises StoreError."""
        if self.radsec is not None:
            await self.radsec.recheck()

    async def install(self, identity: ServerIdentity | None) -> None:
        """Authorities, anchors or our certificate have changed: handshakes begin on them now. Raises StoreError."""
        if not self._settings.listen:
            return
        self._identity = identity
        self._believed = Believed.of(self._ground(), self._settings.authorities, self._settings.anchors)
        if not self._believed.anchors:
            log.error(
                "radsec.nobody_believed", authorities=self._settings.authorities, anchors=self._settings.anchors,
                fix="Name an authority of ours in radsec.authorities, or a trust anchor for clients in radsec.anchors.",
            )  # fmt: skip
        if identity is None or not self._believed.anchors:
            self._server_context = None
        else:
            versions = [Version(f"radius/{one}") for one in self._settings.versions]
            self._server_context = server_context(_pem(identity), list(self._believed.anchors), versions)
        await self.recheck()

    def replace_access_servers(self, table: NasTable) -> None:
        """The record of access servers has changed."""
        if self.radsec is not None:
            self.radsec.replace_peers(Peers.of(table))

    def counted(self) -> dict[str, int]:
        """For :class:`troth.radius.server.tally.Tally`."""
        found = {**named("proxied", self.proxies.counted), **named("weak", self.others.counted)}
        if self.radsec is not None:
            tally = self.radsec.tally
            found |= named("radsec_closed", tally.closed)
            found |= {
                "radsec|opened": tally.opened, "radsec|requests": tally.requests, "radsec|probes": tally.probes,
                "radsec|duplicates": tally.duplicates, "radsec|superseded": tally.superseded,
            }  # fmt: skip
        return found

    # --- its life ----------------------------------------------------------------------------------------------

    def serve(self, desk: Desk, table: NasTable) -> None:
        """Requests over RadSec are answered by ``desk``. Once, before :meth:`run`."""
        if not self._settings.listen:
            return

        async def answer(packet: Packet, caller: Caller) -> bytes | None:
            return await desk.answer(
                packet, Source(caller.address, caller.port, "radsec", caller.nas, caller.protection)
            )

        self.radsec = RadsecServer(answer, self._judge, self._tls, self._settings, self._context.clock)
        self.radsec.replace_peers(Peers.of(table))

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        tasks = [asyncio.create_task(self._watch(stop))]
        if self.radsec is not None:
            tasks.append(asyncio.create_task(self._accept(self.radsec, stop)))
            tasks.append(asyncio.create_task(ReverseDesk(self._database, self._context.clock, self.radsec).run()))
        try:
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.proxies.close()

    async def _accept(self, radsec: RadsecServer, stop: asyncio.Event) -> None:
        """RadSec until told to stop. A port that is another program's keeps nobody from being answered over UDP."""
        while not stop.is_set():
            try:
                listeners = _listeners(self._settings.listen)
            except OSError as error:
                log.error("radsec.cannot_listen", address=self._settings.listen, error=error.strerror or str(error))
                await until_set(stop, _PORT_SECONDS)
                continue
            try:
                await radsec.run(listeners, stop)
            finally:
                for listener in listeners:
                    listener.close()

    async def _watch(self, stop: asyncio.Event) -> None:
        """Addresses that other processes have seen with certificates."""
        while not stop.is_set():
            try:
                await self._certified.refresh()
            except TrothError as error:
                log.warning("radius.certified_postponed", code=error.code, detail=error.detail)
            await until_set(stop, _LISTS_SECONDS)

    # --- what the rooms ask ------------------------------------------------------------------------------------

    def _tls(self) -> ssl.SSLContext:
        if self._server_context is None:
            raise RadsecError(UNREACHABLE, "there is no certificate to show, or no authority to believe")
        return self._server_context

    async def _judge(self, certificates: Collection[PeerCertificate]) -> Mapping[bytes, tuple[str, str]]:
        lists = self._ground().lists
        return await judged(certificates, self._believed, lists, self._database, self._context.clock.now())

    def _placed(self, place: str, nas: Nas, request: Packet) -> Sequence[Attribute]:
        return self._placing.attributes(Verdict(Outcome.RESTRICT, "", place=PlaceChoice(place)), nas, request)

    def _connect(self, pool: str, server: ServerDefinition, refused: Callable[[str], None]) -> Upstream:
        if server.transport == "radsec":
            target = Server(server.host, server.port, server.names)
            return RadsecUpstream(
                RadsecClient(target, lambda: self._client_tls(by_host=not server.names), self._context.clock)
            )
        secret = self._pool_secrets.get((pool, server.address))
        if secret is None:
            return _Lacking(server.address)
        return UdpUpstream(
            server.host, server.port, secret, refused=refused, accounting_port=server.accounting_port,
            require_message_authenticator=server.require_message_authenticator,
        )  # fmt: skip

    def _client_tls(self, *, by_host: bool) -> ssl.SSLContext:
        """Read at each new connection: whoever renews the files need tell nobody. Raises RadsecError."""
        settings, ground = self._settings, self._ground()
        ours, others = ground.anchors.authorities, ground.anchors.foreign
        anchors = [
            *(ours[slug].x509 for slug in settings.authorities if slug in ours),
            *(others[name].x509 for name in settings.anchors if name in others),
        ]
        if not settings.client_certificate or not anchors:
            raise RadsecError(UNREACHABLE, "radsec.client_certificate, or an authority to believe, is not set")
        try:
            mine = Identity(Path(settings.client_certificate).read_bytes(), Path(settings.client_key).read_bytes())
        except OSError as error:
            raise RadsecError(UNREACHABLE, f"{error.filename}: {error.strerror}") from error
        versions = [Version(f"radius/{one}") for one in settings.versions]
        return client_context(mine, [one.public_bytes(Encoding.DER) for one in anchors], versions, by_host=by_host)


class _Lacking:
    """A server over UDP whose secret nobody has handed over yet."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def ask(self, code: int, attributes: Any, *, seconds: float) -> Any:
        raise ProxyError(SECRET_MISSING, self._address)

    async def close(self) -> None:
        """Nothing to let go of."""


def _listeners(address: str) -> list[socket.socket]:
    """One for each family that this machine has; every worker has its own at the same port. Raises OSError."""
    host, port = parse_address(address)
    found: list[socket.socket] = []
    last: OSError | None = None
    for family, where in addresses_of(host):
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 in this kernel
            last = error
            continue
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)
            listener.bind((where, port or 2083))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            last = error
            continue
        found.append(listener)
    if not found:
        raise last or OSError(f"{host} has no address")
    return found


def _pem(identity: ServerIdentity) -> Identity:
    chain = b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in identity.chain)
    key = load_der_private_key(identity.key, password=None)
    return Identity(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
