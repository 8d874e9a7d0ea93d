"""RADIUS workers within one process: real sockets, real EAP-TLS, and a judge that does what a test tells it.

Workers share what forked ones share (tickets, State, the board, mailboxes), so packets are handed over between them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from bench.issuers import authority_under, root_certificate
from tests.support.access_servers import Watcher, access_server
from tests.support.radius_devices import Credential
from troth.kit.clock import SystemClock
from troth.radius.admission.model import Attempt, Network, Verdict
from troth.radius.admission.ports import Telling
from troth.radius.eap.contexts import Contexts, NetworkTls
from troth.radius.eap.identity import identity_of
from troth.radius.eap.model import Timeline
from troth.radius.eap.server import EapServer
from troth.radius.eap.settings import EapLimits
from troth.radius.eap.state import StateMaker, holder
from troth.radius.nas.model import Nas
from troth.radius.server.access import Access
from troth.radius.server.asked import Asking
from troth.radius.server.board import Board
from troth.radius.server.desk import Desk, Source
from troth.radius.server.handover import Handover
from troth.radius.server.pressure import Room
from troth.radius.server.steering import Steering
from troth.radius.server.traffic import Traffic
from troth.radius.server.udp import UdpSockets
from troth.radius.wire.duplicates import Duplicates
from troth.radius.wire.packet import Attribute, Packet
from troth.trust.connecting.journal import Note
from troth.trust.model import Outcome

SECRET = b"between-tests"
HOST = "radius.corp.test"
_VLAN: tuple[Attribute, ...] = ((64, b"\0\0\0\x0d"), (65, b"\0\0\0\x06"), (81, b"100"))


class Papers:
    """A root, an authority under it, and what it issues: files in ``directory``. ``house``: begins their names."""

    def __init__(self, directory: Path, house: str = "Tests") -> None:
        self.directory = directory
        self._now = datetime.now(UTC)
        root, root_key = root_certificate(self._now, house)
        self._key = ec.generate_private_key(ec.SECP256R1())
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.issuer = authority_under(root, root_key, spki, self._now, house)
        self.root = directory / "root.pem"
        self.root.write_bytes(root.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        *,
        ends: timedelta = timedelta(days=2),
    ) -> Credential:
        """A certificate for ``name`` with its chain, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.issuer.subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(days=1))
            .not_valid_after(self._now + ends)
            .public_key(key.public_key())
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain, private = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        chain.write_bytes(certificate.public_bytes(Encoding.PEM) + self.issuer.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Credential(chain, private, f"{name}".encode())

    def contexts(self, network: str = "corp") -> Contexts:
        """TLS of a server that takes what the authority issues to clients."""
        server = self.issue(HOST, ExtendedKeyUsageOID.SERVER_AUTH)
        chain = tuple(
            one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(server.chain.read_bytes())
        )
        key = _der(server.key)
        contexts = Contexts()
        contexts.install(identity_of(chain, key), [NetworkTls(network, "1", (self.issuer.public_bytes(Encoding.DER),))])
        return contexts


def _der(path: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(path.read_bytes(), None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )


@dataclass
class Judge:
    """Lets everybody in, unless told otherwise.

    Attributes:
        rule: attempt → verdict; None: not settled.
        fails: raised when something is to be written down.
        stands: what :meth:`holds` says.
    """

    rule: Callable[[Attempt], Verdict | None] = lambda _: admitted()
    fails: Exception | None = None
    stands: Callable[[Attempt], bool] = lambda _: True
    asked: list[Attempt] = field(default_factory=list)
    recorded: list[tuple[Attempt, Verdict, Timeline]] = field(default_factory=list)
    noted: list[Note] = field(default_factory=list)

    async def admit(self, attempt: Attempt) -> Verdict | None:
        """See ``access.Judge``."""
        self.asked.append(attempt)
        return self.rule(attempt)

    def holds(self, attempt: Attempt, verdict: Verdict) -> bool:
        """See ``access.Judge``."""
        return self.stands(attempt)

    async def vouched(self, attempt: Attempt, verdict: Verdict) -> bool:
        """See ``Admissions``; no lease here."""
        return self.holds(attempt, verdict)

    async def record(
        self, attempt: Attempt, verdict: Verdict, timeline: Iterable[tuple[float, str]], *, notes: Sequence[Note] = ()
    ) -> None:
        """See :class:`~troth.radius.admission.ports.Judge`."""
        if self.fails is not None:
            raise self.fails
        await asyncio.sleep(0)
        self.recorded.append((attempt, verdict, tuple(timeline)))
        self.noted.extend(notes)

    def note(self, attempt: Attempt, notes: Sequence[Note]) -> None:
        """See ``access.Judge``."""
        self.noted.extend(notes)


def admitted(outcome: Outcome = Outcome.ALLOW) -> Verdict:
    """A verdict that lets somebody in."""
    return Verdict(
        outcome, "policy.rule", session_time=timedelta(hours=1), user_name="laptop-17", class_=os.urandom(16)
    )


class _Telling:
    """By the words of the journal's notes alone."""

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> list[Note]:
        return [("admitted", verdict.class_)] if verdict.admitted else []

    def withdrawn(self, verdict: Verdict) -> list[Note]:
        return [("withdrawn", verdict.class_)] if verdict.admitted else []


class _Placing:
    def attributes(self, verdict: Verdict, nas: Nas, request: Packet) -> tuple[Attribute, ...]:
        return _VLAN

    def asked(self, request: Packet) -> bool:
        return False


@dataclass
class Worker:
    """One of them."""

    number: int
    traffic: Traffic
    desk: Desk
    eap: EapServer
    box: socket.socket
    begun: int = 0


class House:
    """Several workers on one port. Use it within an event loop, and :meth:`close` it.

    Args:
        reading: which workers (0 among them) read from the port; by default each, as the kernel spreads it.
        steered: the kernel knows whose a packet is.
    """

    def __init__(
        self,
        directory: Path,
        contexts: Contexts,
        *,
        workers: int = 1,
        judge: Judge | None = None,
        network: Network | None = None,
        reading: Iterable[int] | None = None,
        reject_delay: float = 0.0,
        telling: Telling | None = None,
        steered: bool = False,
    ) -> None:
        self._telling = telling or _Telling()
        self.judge = judge or Judge()
        self.network: Network | None = network or Network(name="corp")
        self.nas = replace(access_server(SECRET), prefixes=("127.0.0.1/32",))
        self.accepts: list[tuple[Attempt, Verdict]] = []
        self._board = Board()
        self._directory = directory
        self._contexts = contexts
        self._key = os.urandom(32)
        self._reject_delay = reject_delay
        self.workers: list[Worker] = []
        self._sockets: list[socket.socket] = []
        self._silent = frozenset() if reading is None else frozenset(range(workers)) - frozenset(reading)
        port = 0
        for place in range(workers):
            if self._sockets and place in self._silent:
                # It answers from the port, and nothing that the kernel spreads comes to it.
                self._sockets.append(self._sockets[0].dup())
                continue
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            port = one.getsockname()[1]
            one.setblocking(False)
            self._sockets.append(one)
        self.address = ("127.0.0.1", port)
        self._steering = Steering([self._sockets], node=0, wanted=steered)
        self._places: dict[int, int] = {}
        for place in range(workers):
            self.add(place)

    def of(self, address: str) -> Nas | None:
        """Access servers are all on loopback."""
        return self.nas if address == "127.0.0.1" else None

    def add(self, place: int, number: int | None = None) -> Worker:
        """A worker in that place."""
        number = place if number is None else number
        clock = SystemClock()
        eap = EapServer(self._contexts, StateMaker(self._key, node=0, worker=number), clock, EapLimits())
        asking = Asking(lambda *_: self.network)
        access = Access(
            eap,
            self.judge,
            asking,
            _Placing(),
            lambda attempt, verdict, _source, _packet: self.accepts.append((attempt, verdict)),
            clock,
            telling=self._telling,
            reject_delay=self._reject_delay,
        )
        desk = Desk(access, _no_accounting, clock, duplicates=Duplicates(), room=Room(2000, 2000), seen=Watcher())
        box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self._directory / str(number)
        path.unlink(missing_ok=True)
        box.bind(str(path))
        box.setblocking(False)
        front: list[Traffic] = []
        sockets = UdpSockets([self._sockets[place]], lambda datagram: front[0].received(datagram))
        traffic = Traffic(
            sockets, ["auth"], desk, self, self._board.sit(number, clock.monotonic),
            Handover(number, box, str(self._directory)), holder, clock, node=0, remember_seconds=10,
            live=lambda: eap.open + desk.under_way,
        )  # fmt: skip
        front.append(traffic)
        traffic.start()
        if place in self._silent:
            asyncio.get_running_loop().remove_reader(self._sockets[place])
        worker = Worker(number, traffic, desk, eap, box)
        self.workers.append(worker)
        self._places[number] = place
        self._seat()
        return worker

    def remove(self, worker: Worker) -> None:
        """It dies."""
        worker.traffic.close()
        worker.box.close()
        (self._directory / str(worker.number)).unlink()
        self.workers.remove(worker)
        del self._places[worker.number]
        self._seat()

    def _seat(self) -> None:
        self._board.steer(self._steering.seat(self._places, set(self._places.values())))

    async def close(self) -> None:
        """End all."""
        for worker in list(self.workers):
            await worker.desk.drain()
            self.remove(worker)
        for one in self._sockets:
            one.close()


def _no_accounting(packet: Packet, source: Source, protection: object) -> None:
    return None
