"""Connecting to the address that was checked, and to no other."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address
from types import TracebackType
from typing import Self, cast

from troth.enroll.acme.errors import VALIDATION_CONNECTION, VALIDATION_TARGET, VALIDATION_TLS
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.network import NetworkPolicy, TargetRefused
from troth.enroll.acme.validate.outcome import Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver
from troth.kit.addresses import Address

_CONNECT_TIMEOUT = 3.0  # seconds for one address
_MAX_TRIES = 4  # addresses of one name
_READ_LIMIT = 16_384  # octets that may wait for their reader, before no more are taken from the socket


async def targets_of(identifier: Identifier, resolver: Resolver) -> list[Address]:
    """The addresses of ``identifier``, IPv6 first. Raises NotShown (dns)."""
    if identifier.type == "ip":
        return [ip_address(identifier.value)]
    return await resolver.addresses(identifier.value)


class Line(asyncio.Protocol):
    """One connection, closed hard when its ``with`` block is left.

    It does what a validation needs of asyncio's streams, and costs less than they: it writes a few octets, and reads
    a few, for one reader.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._ended = False
        self._broken: Exception | None = None
        self._paused = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _READ_LIMIT and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._broken = True, exc
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def transport(self) -> asyncio.Transport:
        """What the connection goes over."""
        if self._transport is None:
            raise ConnectionError("not connected")
        return self._transport

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self.transport.write(data)

    async def read(self, most: int) -> bytes:
        """What has come, at most ``most`` octets; none when the peer has ended. Raises OSError if it broke off."""
        if not self._received and not self._ended:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        elif self._broken is not None:
            raise self._broken
        if not self._received and self._broken is not None:
            raise self._broken
        data = bytes(self._received[:most])
        del self._received[:most]
        if self._paused and not self._ended and len(self._received) <= _READ_LIMIT:
            self._paused = False
            self.transport.resume_reading()
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not close(): a peer that never acknowledges must not hold the validation beyond its budget.
        self.transport.abort()


async def dial(
    addresses: list[Address],
    port: int,
    *,
    network: NetworkPolicy,
    log: Log,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> Line:
    """A connection to the first of ``addresses`` that is open to us and answers.

    An address that the policy closes is passed over. IPv6 first, then IPv4, as RFC 8555's servers do it: a host
    whose IPv6 record is stale still passes. Raises NotShown: target, connection or tls.
    """
    loop = asyncio.get_running_loop()
    failure: NotShown | None = None
    for address in _spread(addresses):
        text = str(address)
        target = f"[{text}]:{port}" if address.version == 6 else f"{text}:{port}"
        try:
            network.check(address, port)
        except TargetRefused as refused:
            log.add(target, text, "refused by the network policy")
            failure = failure or NotShown(VALIDATION_TARGET, refused.detail, retryable=False)
            continue
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                _, line = await loop.create_connection(
                    Line,
                    text,
                    port,
                    ssl=tls,
                    server_hostname=server_name if tls else None,
                    local_addr=(network.source, 0) if network.source else None,
                )
            log.add(target, text, "connected")
            return line
        except TimeoutError:
            failure = NotShown(VALIDATION_CONNECTION, f"connecting to {target} took too long", retryable=True)
        except ssl.SSLError as error:
            # A server that answers in TLS is there; another address of the same name would not mend it.
            log.add(target, text, "TLS handshake failed")
            word = (error.reason or "handshake failure").replace("_", " ").lower()
            raise NotShown(VALIDATION_TLS, f"TLS with {target} failed: {word}", retryable=True) from None
        except OSError as error:
            word = error.strerror or ("connection closed" if isinstance(error, ConnectionError) else "failed")
            failure = NotShown(VALIDATION_CONNECTION, f"connecting to {target}: {_plain(word)}", retryable=True)
        log.add(target, text, failure.detail)
    raise failure or NotShown(VALIDATION_CONNECTION, "there is no address to connect to", retryable=True)


def _spread(addresses: list[Address]) -> list[Address]:
    """At most four, of both families if there are both: many dead IPv6 addresses must not hide the IPv4 one."""
    if len(addresses) == 1:
        return addresses
    six = [address for address in addresses if address.version == 6]
    four = [address for address in addresses if address.version == 4]
    kept_six = six[: _MAX_TRIES - min(len(four), _MAX_TRIES // 2)]
    return kept_six + four[: _MAX_TRIES - len(kept_six)]


def _plain(word: str) -> str:
    """asyncio words a refused connection as ``Connect call failed ('10.0.0.1', 80)``: keep what a person reads."""
    return "connection refused or unreachable" if word.startswith("Connect call failed") else word.lower()
