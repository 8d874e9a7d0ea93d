"""The UDP sockets of RADIUS: for each worker's place its own, bound once by the supervisor.

The kernel chooses among the sockets of one address (``SO_REUSEPORT``) by their number, which is the order in which they
were bound (``radius.server.steering``), or by a hash of both ends. When one is closed, the last takes its number, and
the hash changes: these outlive the workers that read from them, and the role's master too.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence

from troth.assembly.errors import CANNOT_LISTEN, PORT_TAKEN, AssemblyError
from troth.assembly.listeners import Sockets, addresses_of, close, parse_address
from troth.assembly.state import Address
from troth.kit.radius_settings import RadiusSettings
from troth.kit.settings import Config

AUTHENTICATION, ACCOUNTING = "radius_auth", "radius_acct"
NAMES = (AUTHENTICATION, ACCOUNTING)
_TRIES = 50
_RECEIVE_OCTETS = 4 * 1024 * 1024
_MOST_WORKERS = 8
_PKTINFO = {socket.AF_INET: (socket.IPPROTO_IP, 8), socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)}


def is_on(config: Config) -> bool:
    """Whether this installation answers RADIUS at all: over UDP, over TLS, or both."""
    return bool(config.radius.listen or config.radsec.listen)


def places(settings: RadiusSettings) -> int:
    """How many workers answer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or min(_MOST_WORKERS, cores)


def open_datagrams(settings: RadiusSettings, remembered: Mapping[str, Address]) -> tuple[Sockets, dict[str, Address]]:
    """The sockets by name, those of one place side by side, and what each name's address is.

    Nothing where RADIUS is not answered over UDP. A port 0 means the one that is remembered for the same host, or a
    free one. Raises AssemblyError; nothing stays bound then.
    """
    if not settings.listen:
        return {}, {}
    host, port = parse_address(settings.listen)
    known = remembered.get(AUTHENTICATION)
    if not port and known is not None and known.host == host:
        port = known.port
    accounting = parse_address(settings.accounting) if settings.accounting else (host, None)
    for last in [*range(_TRIES - 1, 0, -1), 0] if not port else [0]:
        try:
            return _open(host, port or 0, accounting, places(settings))
        except AssemblyError as error:
            # A free port may have a neighbour that is taken: try with another.
            if error.reason is not PORT_TAKEN or not last:
                raise
    raise AssertionError("unreachable")


def _open(host: str, port: int, accounting: tuple[str, int | None], count: int) -> tuple[Sockets, dict[str, Address]]:
    sockets: Sockets = {}
    try:
        sockets[AUTHENTICATION] = _bind(host, port, count)
        port = sockets[AUTHENTICATION][0].getsockname()[1]
        other = accounting[1] if accounting[1] is not None else port + 1
        sockets[ACCOUNTING] = _bind(accounting[0], other, count)
    except BaseException:
        close(sockets)
        raise
    after = sockets[ACCOUNTING][0].getsockname()[1]
    return sockets, {AUTHENTICATION: Address(host, port), ACCOUNTING: Address(accounting[0], after)}


def _bind(host: str, port: int, count: int) -> list[socket.socket]:
    """One socket per place and address of ``host``, all with one port."""
    bound: list[socket.socket] = []
    families = []
    try:
        for family, address in addresses_of(host):
            # Alone first: with SO_REUSEPORT another program of ours that has the port would not be noticed.
            alone = _socket(family, address, bound[0].getsockname()[1] if bound else port, shared=False)
            if alone is None:
                continue
            taken = alone.getsockname()[1]
            alone.close()
            families.append((family, address))
            for _ in range(count):
                one = _socket(family, address, taken, shared=True)
                if one is not None:
                    bound.append(one)
    except BaseException:
        for one in bound:
            one.close()
        raise
    if not bound:
        raise AssemblyError(CANNOT_LISTEN, f"{host} is no address of this machine")
    # place 0 on every address, then place 1, …
    return [bound[family * count + place] for place in range(count) for family in range(len(families))]


def by_address(sockets: Sequence[socket.socket], count: int) -> list[list[socket.socket]]:
    """The sockets of one name again, those of one address side by side, as they were bound: a place each."""
    each = len(sockets) // count
    return [list(sockets[at::each]) for at in range(each)]


def _socket(family: int, address: str, port: int, *, shared: bool) -> socket.socket | None:
    """A bound socket, or None for an address that this machine does not have."""
    try:
        one = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:  # no IPv6 in this kernel
        return None
    try:
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_OCTETS)
            if address in ("0.0.0.0", "::"):
                one.setsockopt(*_PKTINFO[socket.AddressFamily(family)], 1)
        one.bind((address, port))
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        reason = PORT_TAKEN if error.errno == errno.EADDRINUSE else CANNOT_LISTEN
        raise AssemblyError(reason, f"UDP {Address(address, port)}: {error.strerror}", port=port) from error
    return one
