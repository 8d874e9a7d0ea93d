"""The listening sockets: bound once, by the supervisor, and inherited by the processes that answer on them.

So a worker that is restarted loses no connection: the kernel queues what arrives meanwhile.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from troth.assembly.errors import ADDRESS, CANNOT_LISTEN, PORT_TAKEN, AssemblyError
from troth.assembly.state import Address, State
from troth.kit.settings import ListenSettings

#: Tried on the first start when nobody named a port; a free one serves where it is taken.
USUAL_PORTS: Mapping[str, int] = {"https": 8443, "http": 8080, "admin": 8444}
NAMES = tuple(USUAL_PORTS)
ADMIN_SOCKET = "admin_socket"

_BACKLOG = 1024
_EVERYWHERE = ("0.0.0.0", "::")
_DEFAULT_PORTS = {"https": 443, "http": 80}

Sockets = dict[str, list[socket.socket]]


def open_listeners(
    settings: ListenSettings, state: State | None, names: Iterable[str] = NAMES
) -> tuple[Sockets, State]:
    """Bind the listeners called ``names``; returns their sockets and the state as it is now.

    A port that ``state`` remembers is used again, or refused when another program has it. Raises AssemblyError;
    nothing stays bound then.
    """
    sockets: Sockets = {}
    addresses = dict(state.listeners) if state is not None else {}
    try:
        for name in names:
            host, port = _wanted(str(getattr(settings, name)), addresses.get(name))
            if port is None:
                sockets[name] = _bind_first(host, USUAL_PORTS[name])
            else:
                sockets[name] = _bind(host, port)
            addresses[name] = Address(host, sockets[name][0].getsockname()[1])
    except BaseException:
        close(sockets)
        raise
    return sockets, _public(settings, state, addresses)


def bound(text: str) -> list[socket.socket]:
    """Listen at ``HOST:PORT``; port 0 takes a free one. Raises AssemblyError."""
    host, port = parse_address(text)
    return _bind(host, port or 0)


def open_unix(path: Path) -> socket.socket:
    """Listen on a Unix socket at ``path``, for our own user and root alone.

    What is left there from the last run is removed; the lock on the data directory says that nobody uses it.
    """
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise AssemblyError(CANNOT_LISTEN, f"{path}: {error.strerror}") from error
    finally:
        os.umask(before)
    return listener


def close(sockets: Sockets) -> None:
    """Close them all."""
    for group in sockets.values():
        for one in group:
            one.close()


def parse_address(text: str) -> tuple[str, int | None]:
    """``HOST[:PORT]`` in its parts; the port is None where none is given. Raises AssemblyError.

    >>> parse_address("[::1]:8443")
    ('::1', 8443)
    """
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AssemblyError(ADDRESS, f"{text!r}: an IPv6 address stands in brackets")
    if not colon and host.isdecimal():  # the resolver would make an address of it, 0.0.7.20 of 1812
        raise AssemblyError(ADDRESS, f"{text!r} is a port without its host; *:{text} is that port on every address")
    valid = port.isascii() and port.isdecimal() and int(port) <= 65535
    if not host or (colon and not valid):
        raise AssemblyError(ADDRESS, f"{text!r} is not HOST:PORT")
    return host, int(port) if colon else None


def _wanted(configured: str, remembered: Address | None) -> tuple[str, int | None]:
    """Host and port for a listener: the port is 0 for any free one, None for the usual or else any free one."""
    if not configured:
        return (remembered.host, remembered.port) if remembered is not None else ("localhost", None)
    host, port = parse_address(configured)
    if not port and remembered is not None:
        return host, remembered.port
    return host, port


def _bind_first(host: str, usual: int) -> list[socket.socket]:
    try:
        return _bind(host, usual)
    except AssemblyError as error:
        if error.reason is not PORT_TAKEN:
            raise
    return _bind(host, 0)


def _bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of ``host`` with one port, which is chosen by the kernel where ``port`` is 0."""
    for _ in range(20):
        bound: list[socket.socket] = []
        try:
            for family, address in addresses_of(host):
                one = _listen(family, address, bound[0].getsockname()[1] if bound else port)
                if one is not None:
                    bound.append(one)
        except AssemblyError as error:
            close({host: bound})
            # A free port on one address may be taken on the next: try with another.
            if error.reason is PORT_TAKEN and port == 0 and bound:
                continue
            raise
        if bound:
            return bound
        break
    raise AssemblyError(CANNOT_LISTEN, f"{host} is no address of this machine")


def addresses_of(host: str) -> list[tuple[int, str]]:
    """(family, address) of ``host``, IPv4 first; ``*``: everywhere. Raises AssemblyError."""
    if host == "*":
        return [(socket.AF_INET, _EVERYWHERE[0]), (socket.AF_INET6, _EVERYWHERE[1])]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AssemblyError(CANNOT_LISTEN, f"{host}: {error.strerror}") from error
    unique = dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found)
    return sorted(unique)  # IPv4 first: a machine without IPv6 then still has one address


def _listen(family: int, address: str, port: int) -> socket.socket | None:
    """A listening socket, or None for an address that this machine does not have."""
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # no IPv6 in this kernel
        return None
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        one.listen(_BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        reason = PORT_TAKEN if error.errno == errno.EADDRINUSE else CANNOT_LISTEN
        raise AssemblyError(reason, f"{Address(address, port)}: {error.strerror}", port=port) from error
    return one


def _public(settings: ListenSettings, state: State | None, addresses: dict[str, Address]) -> State:
    """The public addresses: as configured; as remembered while the listener is the same; else made from it."""

    def choose(name: str, scheme: str, configured: str, remembered: str) -> str:
        unmoved = state is not None and state.listeners.get(name) == addresses.get(name)
        if configured or (remembered and unmoved):
            return configured or remembered
        return _url(scheme, addresses[name]) if name in addresses else ""

    public_url = choose("https", "https", settings.public_url, state.public_url if state else "")
    return State(
        listeners=addresses,
        public_url=public_url,
        ledger_origin=(state.ledger_origin if state else "") or f"{urlsplit(public_url).hostname}/ledger",
        public_http_url=choose("http", "http", settings.public_http_url, state.public_http_url if state else ""),
        admin_url=choose("admin", "https", "", state.admin_url if state else ""),
    )


def _url(scheme: str, address: Address) -> str:
    host = address.host
    if host in {"*", *_EVERYWHERE}:
        host = socket.getfqdn()
    elif _is_loopback(host):
        host = "localhost"
    port = "" if address.port == _DEFAULT_PORTS[scheme] else f":{address.port}"
    return f"{scheme}://[{host}]{port}" if ":" in host else f"{scheme}://{host}{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
