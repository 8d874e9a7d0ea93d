"""The signer's socket, and the batches that make it fast.

Whatever all clients have sent by the time the loop turns is served in one pass and each client's answers leave in one
write: a signature costs 40 µs in a batch of 32 and ten times that alone, since waking two processes is what is dear.
P-256 is signed on the loop; what flushes a file goes to the desk's slow lane (one thread, in order).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from troth.kit.clock import Clock, SystemClock
from troth.kit.errors import INTERNAL, TrothError
from troth.kit.log import get_logger
from troth.pki.keys.files import ensure_secret, private_directory
from troth.pki.keys.software import KeyStore
from troth.pki.signer import protocol
from troth.pki.signer.approvers import Judge
from troth.pki.signer.class_rules import NO_POLICY, Policy
from troth.pki.signer.connection import Connection
from troth.pki.signer.crl_rules import CrlNumbers
from troth.pki.signer.crl_stream import CrlStream
from troth.pki.signer.desk import Desk, SlowRequest, authorize
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


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """What a signer process needs to know.

    Attributes:
        data: the data directory: ``keys/``, ``secrets/`` and ``notary.json`` are in it.
        socket: where to listen; the path must fit in sun_path (107 octets).
        origin: the ledger's name in checkpoints, ``<host>/ledger``; fixed by the first start.
        allowed_uids: besides the signer's own.
        policy: limits that come from the signer's configuration.
    """

    data: Path
    socket: Path
    origin: str
    allowed_uids: frozenset[int] = frozenset()
    policy: Policy = NO_POLICY


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
                self._slowly(
                    connection, request, partial(self._desk.slow, request, connection.secret, connection.role.releases)
                )
                return None
            return self._desk.quick(request)
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

    def _slowly(self, connection: Connection, request: protocol.Request, work: Callable[[], protocol.Answer]) -> None:
        if self._slow_count >= _MAX_SLOW:
            raise SignerRefused(BUSY)
        self._slow_count += 1
        task = asyncio.get_running_loop().create_task(self._answer_slowly(connection, request, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_slowly(
        self, connection: Connection, request: protocol.Request, work: Callable[[], protocol.Answer]
    ) -> None:
        answer: protocol.Answer
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._slow, work)
        except Exception as error:  # noqa: BLE001 - as above
            answer = _failure(connection, request, error)
        finally:
            self._slow_count -= 1
        connection.answers.append(protocol.frame(answer))
        connection.flush()


async def serve(settings: SignerSettings, ready: Callable[[], None], *, clock: Clock | None = None) -> None:
    """Be the signer until cancelled; ``ready`` is called once the socket accepts.

    Makes what is missing at the first start: role secrets, key store, notary. Raises KeyUnavailable when another
    signer has the data directory, SecretUnsafe and NotaryUnsafe when it is not safe to start.
    """
    clock = clock or SystemClock()
    directory = private_directory(settings.data / "secrets")
    secrets = {role: ensure_secret(directory / f"{role}.secret") for role in ROLES}
    store = KeyStore.open(settings.data, clock)
    try:
        notary = Notary.open(settings.data / "notary.json", store, settings.origin, clock)
        numbers = CrlNumbers(settings.data / "keys" / "crl-numbers.state")
        judge = Judge.open(settings.data / "approvers.json", directory / "approvers.secret", clock)
        desk = Desk(store, notary, numbers, clock, judge=judge, policy=settings.policy)
        server = Server(desk, secrets, settings.allowed_uids | {os.getuid()})
        listener = await asyncio.get_running_loop().create_unix_server(server.connection, sock=_bind(settings))
        log.info("signer.ready", keys=len(store.list_keys()), ledger_size=notary.standing().size)
        try:
            ready()
            await asyncio.Event().wait()
        finally:
            listener.close()
            await server.close()
            settings.socket.unlink(missing_ok=True)
    finally:
        store.close()


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
    log.error("signer.failed", role=connection.role_name, operation=operation, exc_info=error)
    return protocol.Failure(request.n, INTERNAL.code, INTERNAL.summary)
