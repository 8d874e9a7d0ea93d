"""What can be wrong with a RadSec connection, and why one is closed."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

FRAME = reason(
    "radsec.frame",
    "the stream holds no RADIUS packet where one should begin",
    fix="The peer speaks something else, or its implementation is broken; the connection was closed.",
    status=400,
)
PACKET = reason(
    "radsec.packet",
    "a packet on this connection could not be read or does not verify",
    fix="Inside TLS nothing is lost or changed: the peer's implementation or its secret (`radsec`) is wrong.",
    status=400,
)
PEER_UNKNOWN = reason(
    "radsec.peer.unknown",
    "no access server is known by this certificate at this address",
    fix="Name the certificate (`radsec.names`) and the networks it connects from (`radsec.sources`) under `nas:`.",
    status=403,
)
PEER_DISTRUSTED = reason(
    "radsec.peer.distrusted",
    "the certificate of this peer is not believed any more",
    fix="Look at the certificate's page: it was held, revoked or has ended. A new one opens a new connection.",
    status=403,
)
VERSION = reason(
    "radsec.version",
    "this peer and we have no version of RADIUS over TLS in common",
    fix="RADIUS/1.1 needs TLS 1.3 and its name by ALPN on both sides; allow `1.0` in `radsec.versions` otherwise.",
    status=400,
)
CROWDED = reason(
    "radsec.crowded",
    "more connections than are allowed",
    fix="Raise `radsec.connections` or `radsec.half_open`, if the peers are right to have so many.",
    status=429,
)
IDLE = reason("radsec.idle", "nothing was said on this connection for too long", fix="Nothing: the peer connects anew.")
CLOSED = reason(
    "radsec.closed",
    "the connection ended before there was a reply",
    fix="Nothing: what was under way is tried again on another connection where it may be.",
    status=503,
)
UNREACHABLE = reason(
    "radsec.unreachable",
    "no TLS connection to this server",
    fix="Look at its address, its certificate's name and the authorities believed for it; the detail says which.",
    status=502,
)
NOT_CONNECTED = reason(
    "radsec.not_connected",
    "this access server has no RadSec connection to us just now",
    fix="It connects by itself; until then its sessions end with their Session-Timeout.",
    status=503,
)
BUSY = reason(
    "radsec.busy",
    "as many requests are under way on this connection as may be",
    fix="Nothing if it passes: the request is made again. Otherwise the peer answers too slowly.",
    status=503,
)
NO_REPLY = reason(
    "radsec.no_reply",
    "the peer did not answer in time",
    fix="Look at the peer's log; some access servers take no Disconnect on their own connection unless told to.",
    status=504,
)


class RadsecError(TrothError):
    """Something is wrong with a RadSec connection."""


class FrameRefused(RadsecError):
    """No packet begins where one should: the rest of the stream means nothing any more."""


class PeerRefused(RadsecError):
    """A TLS peer that is no access server of ours, or may not speak now."""


class ExchangeFailed(RadsecError):
    """A request of ours got no reply."""
