"""Certificates that the host itself serves: its own listening sockets, asked in TLS from within."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_ASKED, _AT_ONCE, _SECONDS = 64, 8, 3.0
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Served:
    """The certificate (DER) that a listening socket shows to who names no server."""

    place: str
    der: bytes


def listening(proc: Path = Path("/proc")) -> list[tuple[str, int]]:
    """(address, port) of TCP sockets that listen in this network namespace, in order."""
    found: set[tuple[str, int]] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            text = (proc / "net" / name).read_text(encoding="ascii", errors="replace")
            found |= {one for line in text.splitlines()[1:] if (one := _line(line)) is not None}
    return sorted(found)


def _line(line: str) -> tuple[str, int] | None:
    parts = line.split()
    if len(parts) < 4 or parts[3] != _LISTEN:
        return None
    text, _, port = parts[1].partition(":")
    try:
        words = bytes.fromhex(text)
        number = int(port, 16)
        # The kernel prints each word of 32 bits in the host's own order.
        octets = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
        return str(ipaddress.ip_address(octets)), number
    except ValueError:
        return None


async def served(found: Iterable[tuple[str, int]], ports: frozenset[int]) -> list[Served]:
    """What those of ``found`` on ``ports`` serve. One that does not speak TLS in a moment serves nothing."""
    gate = asyncio.Semaphore(_AT_ONCE)
    chosen = [(address, port) for address, port in found if port in ports][:MAX_ASKED]

    async def ask(address: str, port: int) -> Served | None:
        async with gate:
            der = await _leaf(_reachable(address), port)
        shown = f"[{address}]" if ":" in address else address
        return None if der is None else Served(f"tcp:{shown}:{port}", der)

    answers = await asyncio.gather(*(ask(*one) for one in chosen))
    return [one for one in answers if one is not None]


def _reachable(address: str) -> str:
    """Where a socket that listens on every address is reached from within."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


async def _leaf(address: str, port: int) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whatever it is, it is to be told of
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(address, port, ssl=context, family=socket.AF_UNSPEC)
            try:
                tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
                return tls.getpeercert(binary_form=True) if tls is not None else None
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ssl.SSLError, ValueError):
        return None
