"""The signer's socket, and the batches that make it fast.

Whatever all clients have sent by the time the loop turns is served in one pass and each client's answers leave in one
write: a signature costs 40 µs in a batch of 32 and ten times that alone, since waking two processes is what is dear.
P-256 is signed on the loop; what flushes a file goes to the desk's slow lane (one thread, in order), and what a token
or a key service must do to a lane of that custodian's own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from troth.kit.clock import Clock, SystemClock
from troth.kit.errors import INTERNAL, TrothError, trace_of
from troth.kit.log import get_logger
from troth.kit.settings import CustodianSettings
from troth.pki.keys.files import ensure_secret, private_directory
from troth.pki.keys.held import HeldKeys
from troth.pki.keys.keyring import Keyring
from troth.pki.signer import protocol
from troth.pki.signer.approvers import Judge
from troth.pki.signer.class_rules import NO_POLICY, Policy
from troth.pki.signer.connection import Connection
from troth.pki.signer.crl_rules import CrlNumbers
from troth.pki.signer.crl_stream import CrlStream
from troth.pki.signer.desk import Away, Desk, SlowRequest, authorize
from troth.pki.signer.errors import BUSY, MALFORMED, ROLE, SignerRefused
from troth.pki.signer.notary import Notary
from troth.pki.signer.roles import ROLES

log = get_logger("pki")

_MAX_CONNECTIONS = 256
#: Requests of one pass; more wait for the next turn, so that reading is never put off for long.
_PASS = 256
#: Requests that wait for the slow lane; more are refused rather than kept.
_MAX_SLOW = 64
#: CRLs under way on one connection; each is a hash, but under Ed25519 all of its bytes.
_MAX_STREAMS = 4
#: Requests that wait for one custodian elsewhere, and the threads on which they do.
_MAX_AWAY = 512
_AWAY_THREADS = 8
_LOOK_SECONDS, _TROUBLE_SECONDS = 30.0, 0.5


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """What a signer process needs to know.

    Attributes:
        data: the data directory: ``keys/``, ``secrets/`` and ``notary.json`` are in it.
        socket: where to listen; the path must fit in sun_path (107 octets).
        origin: the ledger's name in checkpoints, ``<host>/ledger``; fixed by the first start.
        allowed_uids: besides the signer's own.
        policy: limits that come from the signer's configuration.
        custodians: tokens and key services by name.
    """

    data: Path
    socket: Path
    origin: str
    allowed_uids: frozenset[int] = frozenset()
    policy: Policy = NO_POLICY
    custodians: Mapping[str, CustodianSettings] = field(default_factory=dict)


class Server:
    """Serves one desk to many connections."""

    def __init__(self, desk: Desk, secrets: Mapping[str, bytes], allowed_uids: frozenset[int]) -> None:
        self._desk = desk
        self._secrets = secrets
        self._allowed_uids = allowed_uids
        self._connections: set[Connection] = set()
        self._waiting: deque[tuple[Connection, protocol.Request]] = deque()
        self._scheduled = False
        self._slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signer-slow")
        self._slow_count = 0
        self._streams: dict[Connection, dict[int, CrlStream | None]] = {}
        self._away: dict[str, ThreadPoolExecutor] = {}
        self._away_count: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self) -> Connection:
        """A protocol for a new client."""
        return Connection(self._secrets, self._allowed_uids, admit=self._admit, take=self._take, gone=self._gone)

    async def close(self) -> None:
        """Finish what the slow lane has begun, answer it, and end all connections."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for connection in list(self._connections):
            connection.close()
        self._slow.shutdown(wait=True)
        for lane in self._away.values():
            lane.shutdown(wait=True, cancel_futures=True)

    def _admit(self, connection: Connection) -> bool:
        if len(self._connections) >= _MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._streams.pop(connection, None)

    def _take(self, connection: Connection, request: protocol.Request) -> None:
        self._waiting.append((connection, request))
        if not self._scheduled:
            # call_soon puts the pass behind every read of this turn of the loop: what came in together goes together.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._serve_waiting)

    def _serve_waiting(self) -> None:
        served: dict[Connection, None] = {}
        for _ in range(min(_PASS, len(self._waiting))):
            connection, request = self._waiting.popleft()
            if connection not in self._connections:
                continue  # the client is gone, and what it asked for was not begun
            answer = self._answer(connection, request)
            if answer is not None:
                connection.answers.append(protocol.frame(answer))
                served[connection] = None
        for connection in served:
            connection.flush()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._serve_waiting)

    def _answer(self, connection: Connection, request: protocol.Request) -> protocol.Answer | None:
        """The answer, or None when the slow lane will give it."""
        try:
            if connection.role is None:
                raise SignerRefused(ROLE)
            authorize(connection.role, request)
            match request:
                case protocol.BeginCrl():
                    return self._begin_crl(connection, request)
                case protocol.CrlEntries():
                    self._crl_entries(connection, request)
                    return None
                case protocol.EndCrl(begun=begun):
                    stream = self._streams.get(connection, {}).pop(begun, None)
                    if stream is None:
                        raise SignerRefused(
                            MALFORMED, "no CRL is under way under this number, or its entries were wrong"
                        )
                    self._slowly(connection, request, partial(self._desk.end_crl, request, stream))
                    return None
            if isinstance(request, SlowRequest):
                self._slowly(connection, request, partial(self._desk.slow, request, connection.secret, connection.role))
                return None
            answer = self._desk.quick(request)
            if not isinstance(answer, Away):
                return answer
            self._admit_away(answer.custodian)
            self._begin(self._answer_from_afar(connection, request, answer))
            return None
        except Exception as error:  # noqa: BLE001 - one request must not end the signer; it is logged and answered
            return _failure(connection, request, error)

    def _begin_crl(self, connection: Connection, request: protocol.BeginCrl) -> protocol.Accepted:
        streams = self._streams.setdefault(connection, {})
        if len(streams) >= _MAX_STREAMS or request.n in streams:
            raise SignerRefused(BUSY, f"more than {_MAX_STREAMS} CRLs under way on one connection")
        streams[request.n] = self._desk.begin_crl(request)
        return protocol.Accepted(request.n)

    def _crl_entries(self, connection: Connection, request: protocol.CrlEntries) -> None:
        """Nothing is answered here: what is wrong is told at the end, to the one who waits."""
        streams = self._streams.get(connection, {})
        stream = streams.get(request.n)
        if stream is None:
            return
        try:
            stream.feed(request.data)
        except SignerRefused as error:
            log.warning("signer.refused", role=connection.role_name, operation="sign_crl", why=error.detail)
            streams[request.n] = None

    def _slowly(
        self, connection: Connection, request: protocol.Request, work: Callable[[], protocol.Answer | Away]
    ) -> None:
        if self._slow_count >= _MAX_SLOW:
            raise SignerRefused(BUSY)
        self._slow_count += 1
        self._begin(self._answer_slowly(connection, request, work))

    async def _answer_slowly(
        self, connection: Connection, request: protocol.Request, work: Callable[[], protocol.Answer | Away]
    ) -> None:
        answer: protocol.Answer
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._slow, work)
            if isinstance(done, Away):
                self._admit_away(done.custodian)
                self._begin(self._answer_from_afar(connection, request, done))
                return
            answer = done
        except Exception as error:  # noqa: BLE001 - as above
            answer = _failure(connection, request, error)
        finally:
            self._slow_count -= 1
        connection.answers.append(protocol.frame(answer))
        connection.flush()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _admit_away(self, custodian: str) -> None:
        """Count one more that waits for the custodian. Raises SignerRefused when too many do."""
        waiting = self._away_count.get(custodian, 0)
        if waiting >= _MAX_AWAY:
            raise SignerRefused(BUSY, f"too many requests wait for {custodian}")
        self._away_count[custodian] = waiting + 1

    async def _answer_from_afar(self, connection: Connection, request: protocol.Request, away: Away) -> None:
        answer: protocol.Answer
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self.lane(away.custodian), away.finish)
            if away.settle is not None:
                await loop.run_in_executor(self._slow, away.settle)
        except Exception as error:  # noqa: BLE001 - as above
            answer = _failure(connection, request, error)
        finally:
            self._away_count[away.custodian] -= 1
        connection.answers.append(protocol.frame(answer))
        connection.flush()

    def lane(self, custodian: str) -> ThreadPoolExecutor:
        """The threads on which a custodian elsewhere is asked. Every call to it has a time limit."""
        found = self._away.get(custodian)
        if found is None:
            found = ThreadPoolExecutor(max_workers=_AWAY_THREADS, thread_name_prefix=f"signer-{custodian}")
            self._away[custodian] = found
        return found


async def serve(settings: SignerSettings, ready: Callable[[], None], *, clock: Clock | None = None) -> None:
    """Be the signer until cancelled; ``ready`` is called once the socket accepts.

    Makes what is missing at the first start: role secrets, key store, notary. Raises KeyUnavailable when another
    signer has the data directory, SecretUnsafe and NotaryUnsafe when it is not safe to start.
    """
    clock = clock or SystemClock()
    directory = private_directory(settings.data / "secrets")
    secrets = {role: ensure_secret(directory / f"{role}.secret") for role in ROLES}
    store = Keyring.open(settings.data, clock, settings.custodians)
    try:
        notary = Notary.open(settings.data / "notary.json", store, settings.origin, clock)
        numbers = CrlNumbers(settings.data / "keys" / "crl-numbers.state")
        judge = Judge.open(settings.data / "approvers.json", directory / "approvers.secret", clock)
        desk = Desk(store, notary, numbers, clock, judge=judge, policy=settings.policy)
        server = Server(desk, secrets, settings.allowed_uids | {os.getuid()})
        listener = await asyncio.get_running_loop().create_unix_server(server.connection, sock=_bind(settings))
        log.info("signer.ready", keys=len(store.list_keys()), ledger_size=notary.standing().size)
        looking = [asyncio.create_task(_look_after(held, server)) for held in store.held.values()]
        try:
            ready()
            await asyncio.Event().wait()
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
            listener.close()
            await server.close()
            settings.socket.unlink(missing_ok=True)
    finally:
        store.close()


async def _look_after(custodian: HeldKeys, server: Server) -> None:
    """Look at a custodian and its keys now and then, so that trouble is known, and its end, before a key is needed."""
    loop = asyncio.get_running_loop()
    due = 0.0
    while True:
        # While it is in trouble its own pause decides when it is asked again; a look in between costs nothing.
        if custodian.trouble is not None or loop.time() >= due:
            due = loop.time() + _LOOK_SECONDS
            try:
                await loop.run_in_executor(server.lane(custodian.name), custodian.check)
            except Exception:
                log.exception("custodian.check_failed", custodian=custodian.name)
        await asyncio.sleep(_TROUBLE_SECONDS)


def _bind(settings: SignerSettings) -> socket.socket:
    # The key store's lock is held, so a socket that lies there is a dead signer's.
    settings.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(settings.socket))
        # Nobody can connect before listen(), so the mode is right before it matters.
        settings.socket.chmod(0o660 if settings.allowed_uids else 0o600)
    except BaseException:
        listener.close()
        raise
    return listener


def _failure(connection: Connection, request: protocol.Request, error: Exception) -> protocol.Failure:
    operation = str(request.__struct_config__.tag)
    if isinstance(error, TrothError):
        log.warning("signer.refused", role=connection.role_name, operation=operation, code=error.code, why=error.detail)
        return protocol.Failure(request.n, error.code, error.detail)
    log.error("signer.failed", role=connection.role_name, operation=operation, exc_info=trace_of(error))
    return protocol.Failure(request.n, INTERNAL.code, INTERNAL.summary)
