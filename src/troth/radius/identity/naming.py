"""Which name the server's certificate has, where nobody said."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit


def server_name(configured: str, reserved: Sequence[str], public_url: str) -> str:
    """``radius.server_name``; else the first of ``pki.radius_names``; else ``radius.`` and the host of the public URL.

    The last is of use to try things out: with an address for a host it is ``radius.localhost``. Devices compare the
    name with what they were configured with; nobody looks it up.
    """
    if configured:
        return configured
    if reserved:
        return reserved[0].lower().rstrip(".")
    host = urlsplit(public_url).hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"radius.{host}"
    return "radius.localhost"
