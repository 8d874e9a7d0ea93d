"""Where a client goes that somebody else sends it: an OCSP responder's address stands in a certificate, and whoever
issues that would have this machine speak with its own services, or with the one that hands out its credentials.

A name is looked up once, every address of it is judged, and the connection goes to one that was judged: a second
look-up that answers otherwise (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from troth.client.errors import TARGET, TransportError
from troth.kit.addresses import Address, closed_as, plain, readings


class Beside:
    """Places that a server at ``url`` may send us to: none that is closed to everybody, and this machine itself only
    if that server is on it, too."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def judged(self, host: str, port: int) -> list[str]:
        """The addresses of ``host``. Raises TransportError if one of them is closed, OSError if there are none."""
        addresses = await _addresses(host, port)
        for address in addresses:
            led_to = readings(address)
            closed = [what for one in led_to for what in closed_as(one)]
            if not closed and any(one.is_loopback for one in led_to) and not await self._is_here():
                closed = ["this machine itself, and the issuer is not"]
            if closed:
                raise TransportError(TARGET, f"{host} ({address}) is {closed[0]}")
        return [str(address) for address in addresses]

    async def _is_here(self) -> bool:
        return all(one.is_loopback for one in await _addresses(urlsplit(self._url).hostname or "", 0))


async def _addresses(host: str, port: int) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(plain(str(entry[4][0])) for entry in found))
