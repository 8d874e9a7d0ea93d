"""The applicants of ``bench.acme``: client processes with the product's own client library, and what they are
validated against, a DNS server that knows one address and a web server that knows every answer.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from troth.client.acme import AcmeClient, ExternalBinding
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey
from troth.client.transport import Transport, trusting

_SPAWN = multiprocessing.get_context("spawn")
#: First pause between two looks at an authorization or an order, seconds; the client library lets it grow.
_POLL = 0.05


@dataclass(frozen=True)
class Load:
    """What one client process does.

    Attributes:
        keys: DER of one account key per client.
        first: number of its first client; names are ``n<run>-<order>.c<client>.bench.test``.
        binding: key id and HMAC key of an enrolment, or empty.
    """

    directory: str
    trust: str
    keys: tuple[bytes, ...]
    first: int
    seconds: float
    warm_up: float = 1.0
    binding: tuple[str, str] = ("", "")


@dataclass
class Result:
    """What the clients saw. Latencies in seconds, from newOrder to the downloaded chain."""

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    def add(self, other: Result) -> None:
        """Take over another process's figures."""
        self.latencies += other.latencies
        self.errors += other.errors
        self.requests += other.requests
        self.wall = max(self.wall, other.wall)
        self.cpu += other.cpu


def account_keys(number: int) -> list[SigningKey]:
    """One ES256 account key per client."""
    return [SigningKey.generate() for _ in range(number)]


def as_der(key: SigningKey) -> bytes:
    """To hand to another process."""
    return key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class Clients:
    """Client processes that have registered and wait for the word to begin."""

    def __init__(
        self,
        directory: str,
        trust: str,
        keys: Sequence[SigningKey],
        *,
        processes: int,
        seconds: float,
        binding: tuple[str, str] = ("", ""),
    ) -> None:
        self._children: list[tuple[Any, Connection]] = []
        share = -(-len(keys) // processes)
        for first in range(0, len(keys), share):
            here, there = _SPAWN.Pipe()
            mine = tuple(as_der(key) for key in keys[first : first + share])
            load = Load(directory, trust, mine, first, seconds, binding=binding)
            process = _SPAWN.Process(target=_client_process, args=(load, there), daemon=True)
            process.start()
            there.close()
            self._children.append((process, here))

    def warm(self) -> None:
        """Let them register and do a few orders; returns when all are at it at full speed."""
        for step in ("register", "warm up"):
            for _, pipe in self._children:
                pipe.send(step)
            for _, pipe in self._children:
                pipe.recv()

    def run(self) -> Result:
        """The measured seconds. Raises RuntimeError if a client process died."""
        for _, pipe in self._children:
            pipe.send("run")
        total = Result()
        for _, pipe in self._children:
            try:
                total.add(pipe.recv())
            except EOFError:
                raise RuntimeError("a client process died") from None
        for process, _ in self._children:
            process.join()
        return total


def _client_process(load: Load, pipe: Connection) -> None:
    uvloop.run(_clients(load, pipe))


async def _clients(load: Load, pipe: Connection) -> None:
    transport = Transport(trusting(load.trust), per_origin=len(load.keys) + 2)
    clients: list[AcmeClient] = []
    pipe.recv()
    for der in load.keys:
        key = SigningKey.wrap(load_der_private_key(der, None))  # type: ignore[arg-type]
        client = await AcmeClient.open(load.directory, key=key, transport=transport)
        bound = ExternalBinding(*load.binding) if load.binding[0] else None
        await client.register(["mailto:bench@example.org"], binding=bound)
        clients.append(client)
    pipe.send("registered")
    pipe.recv()
    run = secrets.token_hex(3)  # names of an earlier run would be proved already
    await _drive(load, clients, load.warm_up, f"w{run}-")
    pipe.send("warm")
    pipe.recv()
    requests, begun, cpu = transport.requests, time.perf_counter(), time.process_time()
    result = await _drive(load, clients, load.seconds, f"n{run}-")
    result.wall, result.cpu = time.perf_counter() - begun, time.process_time() - cpu
    result.requests = transport.requests - requests
    await transport.aclose()
    pipe.send(result)


async def _drive(load: Load, clients: list[AcmeClient], seconds: float, prefix: str) -> Result:
    """Every client orders one certificate after the other; what is begun in time is completed."""
    result = Result()
    end = time.perf_counter() + seconds

    async def one(number: int, client: AcmeClient) -> None:
        count = 0
        while time.perf_counter() < end:
            name = f"{prefix}{count}.c{load.first + number}.bench.test"
            key = ec.generate_private_key(ec.SECP256R1())
            csr = certificate_request(key, dns=[name])
            begun = time.perf_counter()
            try:
                chain = await obtain(client, name, csr)
            except Exception as error:  # noqa: BLE001 -- whatever it was, it is counted and told
                result.errors.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.1)
                continue
            finally:
                count += 1
            result.latencies.append(time.perf_counter() - begun)
            _check(chain, name, key)

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    return result


async def obtain(client: AcmeClient, name: str, csr: bytes) -> bytes:
    """One whole order; the PEM chain."""
    order = await client.new_order([("dns", name)])
    for url in order.authorizations:
        authorization = await client.authorization(url)
        if authorization.status == "valid":
            continue
        challenge = authorization.challenge("http-01")
        if challenge is None:
            raise RuntimeError("http-01 is not offered")
        if (await client.answer(challenge)).status != "valid":
            await client.wait_authorization(url, interval=_POLL)
    order = await client.finalize(order, csr)
    if order.status != "valid":
        order = await client.wait_order(order, interval=_POLL)
    return await client.certificate(order)


def _check(chain: bytes, name: str, key: ec.EllipticCurvePrivateKey) -> None:
    leaf = x509.load_pem_x509_certificate(chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if names.get_values_for_type(x509.DNSName) != [name] or leaf.public_key() != key.public_key():
        raise RuntimeError(f"the certificate for {name} is another one")


# --- what the server validates against ----------------------------------------------------------------------------


@contextmanager
def answering(thumbprints: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ports of a DNS server and of a web server for http-01, in a process of their own."""
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_answering_process, args=(list(thumbprints), there), daemon=True)
    process.start()
    there.close()
    try:
        dns_port, http_port = here.recv()
        yield dns_port, http_port
    finally:
        process.terminate()
        process.join()


def _answering_process(thumbprints: list[str], pipe: Connection) -> None:
    uvloop.run(_answer(thumbprints, pipe))


async def _answer(thumbprints: list[str], pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Dns, local_addr=("127.0.0.1", 0))
    server = await loop.create_server(lambda: _Http(thumbprints), "127.0.0.1", 0, backlog=512)
    pipe.send((transport.get_extra_info("sockname")[1], server.sockets[0].getsockname()[1]))
    await loop.create_future()


class _Dns(asyncio.DatagramProtocol):
    """Every name has the address 127.0.0.1 and no other record."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12) + 5
        question, is_a = data[12:end], data[end - 4 : end - 2] == b"\0\1"
        head = data[:2] + struct.pack(">HHHHH", 0x8580, 1, int(is_a), 0, 0)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
        self._transport.sendto(head + question + record, addr)


class _Http(asyncio.Protocol):
    """Answers ``token.thumbprint``; whose thumbprint, the host's second label says."""

    def __init__(self, thumbprints: list[str]) -> None:
        self._thumbprints = thumbprints
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received:
            return
        head = self._received.decode("latin-1")
        token = head.split(" ", 2)[1].rpartition("/")[2]
        host = head.lower().partition("\r\nhost:")[2].partition("\r\n")[0].strip()
        body = f"{token}.{self._thumbprints[int(host.split('.')[1][1:])]}"
        self._transport.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        self._transport.close()
