"""Connecting to the address that was checked, and to no other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TypeAlias

from troth.enroll.acme.errors import VALIDATION_CONNECTION, VALIDATION_TARGET, VALIDATION_TLS
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.network import NetworkPolicy, TargetRefused
from troth.enroll.acme.validate.outcome import Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver
from troth.kit.addresses import Address

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CONNECT_TIMEOUT = 3.0  # seconds for one address
_MAX_TRIES = 4  # addresses of one name
_READ_LIMIT = 16_384


async def targets_of(identifier: Identifier, resolver: Resolver) -> list[Address]:
    """The addresses of ``identifier``, IPv6 first. Raises NotShown (dns)."""
    if identifier.type == "ip":
        return [ip_address(identifier.value)]
    return await resolver.addresses(identifier.value)


@asynccontextmanager
async def dial(
    addresses: list[Address],
    port: int,
    *,
    network: NetworkPolicy,
    log: Log,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> AsyncIterator[Stream]:
    """A connection to the first of ``addresses`` that is open to us and answers; closed hard on leaving.

    An address that the policy closes is passed over. IPv6 first, then IPv4, as RFC 8555's servers do it: a host
    whose IPv6 record is stale still passes. Raises NotShown: target, connection or tls.
    """
    reader, writer = await _first(addresses, port, network, log, tls, server_name)
    try:
        yield reader, writer
    finally:
        # Not close(): a peer that never acknowledges must not hold the validation beyond its budget.
        writer.transport.abort()


async def _first(
    addresses: list[Address],
    port: int,
    network: NetworkPolicy,
    log: Log,
    tls: ssl.SSLContext | None,
    server_name: str | None,
) -> Stream:
    failure: NotShown | None = None
    for address in _spread(addresses):
        target = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        try:
            network.check(address, port)
        except TargetRefused as refused:
            log.add(target, str(address), "refused by the network policy")
            failure = failure or NotShown(VALIDATION_TARGET, refused.detail, retryable=False)
            continue
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                stream = await asyncio.open_connection(
                    str(address),
                    port,
                    limit=_READ_LIMIT,
                    ssl=tls,
                    server_hostname=server_name if tls else None,
                    local_addr=(network.source, 0) if network.source else None,
                )
            log.add(target, str(address), "connected")
            return stream
        except TimeoutError:
            failure = NotShown(VALIDATION_CONNECTION, f"connecting to {target} took too long", retryable=True)
        except ssl.SSLError as error:
            # A server that answers in TLS is there; another address of the same name would not mend it.
            log.add(target, str(address), "TLS handshake failed")
            word = (error.reason or "handshake failure").replace("_", " ").lower()
            raise NotShown(VALIDATION_TLS, f"TLS with {target} failed: {word}", retryable=True) from None
        except OSError as error:
            word = error.strerror or ("connection closed" if isinstance(error, ConnectionError) else "failed")
            failure = NotShown(VALIDATION_CONNECTION, f"connecting to {target}: {_plain(word)}", retryable=True)
        log.add(target, str(address), failure.detail)
    raise failure or NotShown(VALIDATION_CONNECTION, "there is no address to connect to", retryable=True)


def _spread(addresses: list[Address]) -> list[Address]:
    """At most four, of both families if there are both: many dead IPv6 addresses must not hide the IPv4 one."""
    six = [address for address in addresses if address.version == 6]
    four = [address for address in addresses if address.version == 4]
    kept_six = six[: _MAX_TRIES - min(len(four), _MAX_TRIES // 2)]
    return kept_six + four[: _MAX_TRIES - len(kept_six)]


def _plain(word: str) -> str:
    """asyncio words a refused connection as ``Connect call failed ('10.0.0.1', 80)``: keep what a person reads."""
    return "connection refused or unreachable" if word.startswith("Connect call failed") else word.lower()
