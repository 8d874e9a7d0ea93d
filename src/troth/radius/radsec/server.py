"""All RadSec connections of one process: accepting, limits, and closing what is not believed any more.

Several processes may listen at the same port (SO_REUSEPORT); the kernel gives each connection to one of them, and there
it stays. Before the first octet of TLS is read, the address must be one that some access server may connect from, and
not too many handshakes may be under way: a stranger costs an accept and no cryptography.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.log import get_logger
from troth.kit.radsec_settings import RadsecSettings
from troth.radius.radsec.connection import Answer, Connection, Tally
from troth.radius.radsec.errors import CROWDED, IDLE, PEER_DISTRUSTED, PEER_UNKNOWN, PeerRefused, RadsecError
from troth.radius.radsec.peers import Judge, Peers
from troth.radius.radsec.versions import Version

log = get_logger("radius")

#: Seconds between two looks for connections that are idle or whose certificates have ended meanwhile.
_SWEEP: Final = 5.0
#: Seconds to wait after the machine could not accept (too many open files).
_PAUSE: Final = 0.5


class RadsecServer:
    """See the module. Belongs to one event loop.

    Args:
        answer: the desk.
        judge: what is known against certificates.
        context: the TLS context in force; a new one is used from the next handshake on.
    """

    def __init__(
        self,
        answer: Answer,
        judge: Judge,
        context: Callable[[], ssl.SSLContext],
        settings: RadsecSettings,
        clock: Clock,
    ) -> None:
        self.answer = answer
        self._judge = judge
        self.clock = clock
        self.tally = Tally()
        self.peers = Peers(())
        self.versions = tuple(Version(f"radius/{one}") for one in settings.versions)
        self.pending = settings.pending
        self._context = context
        self._settings = settings
        self._half_open = 0
        self._open: set[Connection] = set()
        self._of: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what it holds -----------------------------------------------------------------------------------------

    @property
    def connections(self) -> Collection[Connection]:
        """Those that were let in and are open."""
        return self._open

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return self._half_open

    def connection_of(self, nas: str) -> Connection | None:
        """The connection of that access server that was heard last: for requests of ours."""
        found = [one for one in self._open if one.nas.name == nas]
        return max(found, key=lambda one: one.heard_at, default=None)

    def joined(self, connection: Connection) -> None:
        name = connection.nas.name
        if len(self._open) >= self._settings.connections or self._of[name] >= self._settings.connections_each:
            raise PeerRefused(CROWDED, f"{name} has {self._of[name]} connections, all together are {len(self._open)}")
        self._open.add(connection)
        self._of[name] += 1

    def left(self, connection: Connection) -> None:
        self._open.discard(connection)
        name = connection.nas.name
        self._of[name] -= 1
        if self._of[name] <= 0:
            del self._of[name]

    # --- what changes it ---------------------------------------------------------------------------------------

    def replace_peers(self, peers: Peers) -> None:
        """The record of access servers has changed: whoever is not in it any more is closed."""
        self.peers = peers
        for connection in list(self._open):
            name = connection.nas.name
            connection.find_again()
            if connection.open and connection.nas.name != name:
                self._of[name] -= 1
                self._of[connection.nas.name] += 1

    async def recheck(self) -> None:
        """Something was told of certificates or authorities: close whoever is not believed any more.

        One question for all connections, and none where there are none. Raises TrothError where nobody can tell.
        """
        open_ = list(self._open)
        if not open_:
            return
        against = await self._judge([one.certificate for one in open_])
        for connection in open_:
            found = against.get(connection.certificate.leaf)
            if found is not None and connection.open:
                connection.close(PEER_DISTRUSTED, _against(connection, found))

    def met(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._believe(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _believe(self, connection: Connection) -> None:
        try:
            against = await self._judge([connection.certificate])
            found = against.get(connection.certificate.leaf)
            if found is not None:
                raise PeerRefused(PEER_DISTRUSTED, _against(connection, found))
            connection.welcome()
        except TrothError as error:
            # Also where nobody can tell: it comes again.
            connection.close(error.reason, error.detail)

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self, listeners: Collection[socket.socket], stop: asyncio.Event) -> None:
        """Accept on non-blocking ``listeners`` until ``stop`` is set; then every connection is closed."""
        running: list[asyncio.Task[None]] = [asyncio.create_task(self._accept(listener)) for listener in listeners]
        running.append(asyncio.create_task(self._sweep()))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    task.result()
        finally:
            for task in (*running, *self._tasks):
                task.cancel()
            stopped.cancel()
            await asyncio.gather(*running, stopped, *self._tasks, return_exceptions=True)
            for connection in list(self._open):
                connection.close(IDLE, "this process ends")

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("radsec.accept_failed", error=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            host, port = str(address[0]).removeprefix("::ffff:").partition("%")[0], int(address[1])
            if not self.peers.may_knock(host):
                self._refuse(accepted, host, PEER_UNKNOWN, "no access server connects from there")
            elif self._half_open >= self._settings.half_open:
                self._refuse(accepted, host, CROWDED, f"{self._half_open} handshakes are under way")
            else:
                self._half_open += 1
                task = loop.create_task(self._shake_hands(accepted, host, port))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _refuse(self, accepted: socket.socket, host: str, why: Reason, detail: str) -> None:
        accepted.close()
        self.tally.count_closed(why.code)
        log.debug("radsec.refused", address=host, reason=why.code, detail=detail)

    async def _shake_hands(self, accepted: socket.socket, host: str, port: int) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self, host, port),
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=self._settings.handshake_seconds,
                ssl_shutdown_timeout=1.0,
            )
        except (OSError, ssl.SSLError, RadsecError) as error:
            # TimeoutError and ConnectionError are OSErrors too; so is what OpenSSL says of a certificate.
            accepted.close()
            self.tally.count_closed("handshake")
            log.info("radsec.handshake_failed", address=host, error=_words(error))
        finally:
            self._half_open -= 1

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            now, monotonic = self.clock.now(), self.clock.monotonic()
            for connection in list(self._open):
                if monotonic - connection.heard_at > self._settings.idle_seconds:
                    connection.close(IDLE, f"nothing for {self._settings.idle_seconds} s")
                elif connection.certificate.not_after <= now:
                    connection.close(PEER_DISTRUSTED, "its certificate has ended")
            try:
                await self.recheck()
            except TrothError as error:
                log.warning("radsec.recheck_postponed", code=error.code, detail=error.detail)


def _against(connection: Connection, found: tuple[str, str]) -> str:
    return f"{connection.certificate.subject}: {found[1]} ({found[0]})"


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    return str(error)[:200] or type(error).__name__
