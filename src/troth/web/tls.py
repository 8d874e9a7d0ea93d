"""The listener's own certificate: loaded, and changed under running connections."""

from __future__ import annotations

import ssl
from pathlib import Path


class ServerTls:
    """A TLS server context whose certificate can be replaced while it serves.

    Connections that stand keep the certificate they began with; every new handshake shows the newest.

    Args:
        identity: file with the certificate chain (the listener's own first) and its unencrypted private key, PEM.
        client_authorities: PEM of the authorities whose client certificates are taken when a client shows one;
            empty: none are asked for. An expired or unknown client certificate ends the handshake.
    """

    def __init__(self, identity: Path, client_authorities: str = "") -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        # No resumption: the processes behind one listener share no ticket keys, so half of the attempts would fail.
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        if client_authorities:
            self.context.load_verify_locations(cadata=client_authorities)
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self._identity = identity
        self._loaded: tuple[int, int] | None = None
        self.reload()

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
