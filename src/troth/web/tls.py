"""The listener's own certificate, changed under running connections; and what TLS tells of the client's."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a TLS connection: see :class:`~troth.kit.lane.Request`."""

    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    unique: bytes | None = None


NOBODY = Peer()


def peer_of(tls: ssl.SSLObject) -> Peer:
    """What the handshake told."""
    # Under TLS 1.3 OpenSSL still gives octets for tls-unique, but they bind nothing (RFC 9266, 1).
    unique = tls.get_channel_binding("tls-unique") if tls.version() == "TLSv1.2" else None
    certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        return NOBODY if unique is None else Peer(unique=unique)
    return Peer(certificate, _verified(tls) or (certificate,), unique)


def _verified(tls: Any) -> tuple[bytes, ...]:
    """The chain that OpenSSL found. Python 3.13 tells it; before, the object inside does."""
    if hasattr(tls, "get_verified_chain"):
        return tuple(bytes(one) for one in tls.get_verified_chain())
    inner = getattr(tls, "_sslobj", None)
    if inner is None or not hasattr(inner, "get_verified_chain"):
        return ()
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inner.get_verified_chain() or ())


class ServerTls:
    """A TLS server context whose certificate can be replaced while it serves.

    Connections that stand keep the certificate they began with; every new handshake shows the newest.

    Args:
        identity: file with the certificate chain (the listener's own first) and its unencrypted private key, PEM.
        asks: whether clients are asked for a certificate. None need show one; one that is out of date, not for clients
            or of no authority that was :meth:`take` knows ends the handshake. What it is worth is judged behind it.
    """

    def __init__(self, identity: Path, *, asks: bool = False) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        # No resumption: the processes behind one listener share no ticket keys, so half of the attempts would fail.
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        self._taken: set[bytes] = set()
        if asks:
            self.context.verify_mode = ssl.CERT_OPTIONAL
            # An anchor need not be a root.
            self.context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._identity = identity
        self._loaded: tuple[int, int] | None = None
        self.reload()

    def take(self, authorities: Iterable[bytes]) -> None:
        """Let the client certificates of these authorities (DER) through the handshake from now on.

        None is taken back: a certificate that passes here is judged by the present ones wherever it counts.
        """
        for one in authorities:
            if one not in self._taken:
                self.context.load_verify_locations(cadata=one)
                self._taken.add(one)

    def reload(self) -> bool:
        """Take up the identity file if it is another than before; whether it was.

        Raises OSError or ssl.SSLError if it cannot be used; what was in use stays then.
        """
        found = self._identity.stat()
        version = (found.st_ino, found.st_mtime_ns)
        if version == self._loaded:
            return False
        # Tried elsewhere first: a context is left with half of a pair that does not match.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._identity)
        self.context.load_cert_chain(self._identity)
        self._loaded = version
        return True
