"""Where validation may connect to.

A private CA certifies names that lead to private addresses, so those are allowed, loopback included. Whoever can ask
for a certificate chooses where Troth connects to, though; so some places are always closed:

- unspecified, link-local, multicast, broadcast and reserved addresses: no server has a certificate for them;
- the metadata services of clouds, which hand out credentials to whoever asks from the machine;
- Troth's own listeners: a request from inside must not look like one from outside.

The same address in another dress (IPv4-mapped, NAT64, 6to4, Teredo, ISATAP) is judged as the address it leads to.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from troth.enroll.acme.errors import VALIDATION_TARGET
from troth.kit.addresses import LINK_LOCAL, Address, Network, closed_as, readings
from troth.kit.errors import TrothError


class TargetRefused(TrothError):
    """Validation does not connect there."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Which targets are open.

    Attributes:
        denied: further networks that are closed, such as a management network.
        allowed: when not empty, only these networks are open (of them, the closed places stay closed).
        link_local: whether link-local addresses are open after all (of them, metadata services stay closed).
        own_listeners: (address, port) of every listener of this installation; ``0.0.0.0`` and ``::`` stand for every
            address of this machine.
        source: the address to connect from; empty: as the routing has it.
    """

    denied: Sequence[Network] = ()
    allowed: Sequence[Network] = ()
    own_listeners: Sequence[tuple[Address, int]] = ()
    link_local: bool = False
    source: str = ""

    def check(self, address: Address, port: int) -> None:
        """Raise TargetRefused, with a sentence for the client, unless ``address`` and ``port`` are open."""
        for candidate in readings(address):
            for what in closed_as(candidate):
                if not (self.link_local and what == LINK_LOCAL):
                    raise _refused(address, what)
            if any(candidate in network for network in self.denied):
                raise _refused(address, "in a denied network")
            if self._is_own(candidate, port):
                raise _refused(address, f"with port {port}, a listener of this server")
        if self.allowed and not any(address in network for network in self.allowed):
            raise _refused(address, "in no allowed network")

    def _is_own(self, address: Address, port: int) -> bool:
        for own, own_port in self.own_listeners:
            if own_port != port:
                continue
            if own == address or (own.is_unspecified and is_local(address)):
                return True
        return False


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from the configuration's text (``10.0.0.0/8``). Raises ValueError for anything else."""
    return tuple(ip_network(text) for text in texts)


def listener(host: str, port: int) -> list[tuple[Address, int]]:
    """A listener as the policy wants it. A host name stands for every address it has on this machine."""
    try:
        return [(ip_address(host), port)]
    except ValueError:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(ip_address(str(entry[4][0]).partition("%")[0]), port) for entry in found]


def is_local(address: Address) -> bool:
    """Whether ``address`` is one of this machine's own: exactly those can be bound."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _refused(address: Address, what: str) -> TargetRefused:
    return TargetRefused(VALIDATION_TARGET, f"{address} is {what}, where validation does not connect to")
