"""Looking names up for validation, by the system's resolver or by one that the configuration names.

A name is looked up once per connection, and the connection goes to the address that was checked: a second look-up
would let a name server answer the check with one address and the connection with another (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.CAA import CAA
from dns.rdtypes.ANY.TXT import TXT

from troth.enroll.acme.errors import VALIDATION_DNS
from troth.enroll.acme.validate.caa import CaaRecord
from troth.enroll.acme.validate.dns_quick import quick_addresses
from troth.enroll.acme.validate.outcome import NotShown
from troth.kit.addresses import Address

_MAX_ALIASES = 10
_MAX_ADDRESSES = 16
_QUERY_TIMEOUT = 3.0  # seconds for one server and one try


class NoSuchName(NotShown):
    """The name does not exist (NXDOMAIN)."""


class Resolver(Protocol):
    """How validation looks names up. All raise NotShown (dns) and nothing else."""

    async def addresses(self, name: str) -> list[Address]:
        """The addresses of ``name``, IPv6 before IPv4, at least one."""
        ...

    async def texts(self, name: str) -> list[bytes]:
        """The TXT records of ``name``, aliases followed, the strings of each record joined; at least one."""
        ...

    async def caa(self, name: str) -> list[CaaRecord]:
        """The CAA records of ``name``, aliases followed; empty if there are none, or no such name."""
        ...


def caa_of(records: list[dns.rdata.Rdata]) -> list[CaaRecord]:
    """Records as dnspython reads them."""
    return [
        CaaRecord(one.flags, one.tag.decode("ascii", "replace").lower(), one.value)
        for one in records
        if isinstance(one, CAA)
    ]


class DnsResolver:
    """Asks one DNS server, or those of ``/etc/resolv.conf``; never the search list, never the hosts file.

    Args:
        host: address of the server, or None for the system's.
        port: its UDP and TCP port.
        budget: seconds for one look-up, all tries included.
        source: the address to ask from; empty: as the routing has it.
    """

    def __init__(self, host: str | None = None, port: int = 53, *, budget: float = 8.0, source: str = "") -> None:
        self._source = source or None
        self._server = (str(ip_address(host)), port) if host is not None else None
        self._resolver = dns.asyncresolver.Resolver(configure=host is None)
        if host is not None:
            self._resolver.nameservers = [str(ip_address(host))]
            self._resolver.port = port
        self._resolver.timeout = _QUERY_TIMEOUT
        self._resolver.lifetime = budget
        self._resolver.cache = None  # a client sets its record just before it asks us to look

    async def addresses(self, name: str) -> list[Address]:
        if self._server is not None:
            quick = await quick_addresses(name, self._server, self._source)
            if quick:
                return quick[:_MAX_ADDRESSES]
        six, four = await asyncio.gather(
            self._lookup(name, dns.rdatatype.AAAA), self._lookup(name, dns.rdatatype.A), return_exceptions=True
        )
        found: list[Address] = []
        for answer in (six, four):
            if isinstance(answer, list):
                found.extend(ip_address(record.to_text()) for record in answer)
        if found:
            return found[:_MAX_ADDRESSES]
        for answer in (four, six):
            if isinstance(answer, BaseException):
                raise answer
        raise NotShown(VALIDATION_DNS, f"{name} has no address", retryable=True)

    async def texts(self, name: str) -> list[bytes]:
        records = await self._lookup(name, dns.rdatatype.TXT)
        if not records:
            raise NotShown(VALIDATION_DNS, f"there is no TXT record at {name}", retryable=True)
        return [b"".join(record.strings) for record in records if isinstance(record, TXT)]

    async def caa(self, name: str) -> list[CaaRecord]:
        """See :class:`~.caa.CaaResolver`."""
        try:
            return caa_of(await self._lookup(name, dns.rdatatype.CAA))
        except NoSuchName:
            return []

    async def _lookup(self, name: str, kind: dns.rdatatype.RdataType) -> list[dns.rdata.Rdata]:
        """Records of ``name``; an empty list if the name exists without any. Raises NotShown."""
        try:
            wanted = dns.name.from_text(name, dns.name.root)
            for _ in range(_MAX_ALIASES):
                answer = await self._resolver.resolve(
                    wanted, kind, source=self._source, raise_on_no_answer=False, search=False
                )
                if answer.rrset is not None:
                    return list(answer.rrset)
                # A server that does not recurse tells only the alias; follow it here (RFC 8555, 8.4 counts on that).
                if answer.canonical_name == wanted:
                    return []
                wanted = answer.canonical_name
        except dns.resolver.NXDOMAIN:
            raise NoSuchName(VALIDATION_DNS, f"{name} does not exist", retryable=True) from None
        except dns.resolver.LifetimeTimeout:
            raise NotShown(VALIDATION_DNS, f"no answer in time on {name}", retryable=True) from None
        except dns.resolver.NoNameservers:
            raise NotShown(VALIDATION_DNS, f"the name servers refuse or fail on {name}", retryable=True) from None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            word = type(error).__name__
            raise NotShown(VALIDATION_DNS, f"looking up {name} failed: {word}", retryable=True) from None
        raise NotShown(VALIDATION_DNS, f"{name} leads through more than {_MAX_ALIASES} aliases", retryable=False)


class SystemResolver:
    """Addresses as this machine sees them (hosts file included); TXT from the servers of ``/etc/resolv.conf``.

    ``getaddrinfo`` blocks, and cannot be called off: its threads are our own, so that names whose servers are
    silent hold up other validations at worst, and never the rest of the process.
    """

    def __init__(self, *, threads: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")
        self._dns: DnsResolver | None = None

    async def addresses(self, name: str) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            entries = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            text = error.strerror if isinstance(error, OSError) and error.strerror else "no valid host name"
            raise NotShown(VALIDATION_DNS, f"looking up {name} failed: {text}", retryable=True) from None
        found = [ip_address(str(entry[4][0])) for entry in entries]
        six: list[Address] = [address for address in found if isinstance(address, IPv6Address)]
        return (six + [address for address in found if isinstance(address, IPv4Address)])[:_MAX_ADDRESSES]

    async def texts(self, name: str) -> list[bytes]:
        return await self._servers().texts(name)

    def _servers(self) -> DnsResolver:
        if self._dns is None:
            try:
                self._dns = DnsResolver()
            except dns.resolver.NoResolverConfiguration:
                raise NotShown(VALIDATION_DNS, "this machine has no DNS resolver configured", retryable=True) from None
        return self._dns

    async def caa(self, name: str) -> list[CaaRecord]:
        """See :class:`~.caa.CaaResolver`."""
        return await self._servers().caa(name)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
