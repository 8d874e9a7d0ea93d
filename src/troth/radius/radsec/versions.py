"""RADIUS/1.0 or RADIUS/1.1 on a TLS connection: by ALPN (RFC 9765 section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from troth.radius.radsec.errors import VERSION, PeerRefused


class Version(Enum):
    """What is spoken inside TLS; the value is its name in ALPN."""

    ONE_0 = "radius/1.0"
    ONE_1 = "radius/1.1"


#: The better first: of what both sides name, a server takes the first of its own list.
BOTH: Final = (Version.ONE_1, Version.ONE_0)


def alpn(versions: Sequence[Version]) -> list[str]:
    """The names to offer, the better first."""
    return [version.value for version in BOTH if version in versions]


def agreed(chosen: str | None, tls_version: str | None, versions: Sequence[Version]) -> Version:
    """What a finished handshake agreed on.

    Args:
        chosen: the name that ALPN chose; None: the peer sent none, or none of ours.
        tls_version: as ``ssl.SSLObject.version`` tells it.
        versions: what we allow.

    Raises PeerRefused (``radsec.version``): the connection must be closed (RFC 9765 sections 3.3 and 3.4). A peer
    without ALPN is one from before it, and speaks RADIUS/1.0.
    """
    version = Version.ONE_0 if chosen is None else Version(chosen)
    if version not in versions:
        raise PeerRefused(
            VERSION, f"the peer says {chosen or 'nothing by ALPN'}; allowed is {', '.join(alpn(versions))}"
        )
    if version is Version.ONE_1 and tls_version != "TLSv1.3":
        raise PeerRefused(VERSION, f"RADIUS/1.1 needs TLS 1.3, and this is {tls_version}")
    return version
