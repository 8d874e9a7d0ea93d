"""TLS for RadSec: whose certificates are believed, with what we prove ourselves, and what a finished handshake says.

The standard library's TLS is enough here: nothing is exported from these connections. It grants no resumption and no
early data: a peer that comes back shows its certificate again, so nobody comes back on yesterday's word (radiusdtls-bis
wants the same answer on resumption as on a full handshake; without resumption that is so by itself).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from troth.radius.radsec.versions import Version, alpn

#: RFC 9325: TLS 1.2 with ephemeral keys and authenticated encryption alone.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"


class Identity(msgspec.Struct, frozen=True):
    """With what we prove ourselves.

    Attributes:
        chain: PEM, our certificate first, then what is between it and the root.
        key: PEM (PKCS #8) of its private key. Never written to a disk.
    """

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Identity(…)"


def server_context(identity: Identity, anchors: Sequence[bytes], versions: Sequence[Version]) -> ssl.SSLContext:
    """For access servers: a certificate for clients is demanded, below one of ``anchors`` (DER).

    Raises ssl.SSLError for an identity or an anchor that OpenSSL does not take; ValueError without any anchor.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, anchors, versions)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def client_context(
    identity: Identity, anchors: Sequence[bytes], versions: Sequence[Version], *, by_host: bool = True
) -> ssl.SSLContext:
    """For servers that we ask: their certificate is below one of ``anchors`` (DER).

    ``by_host``: it must name the host that is asked; False: who connects compares names of his own. Raises as above.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity, anchors, versions)
    context.check_hostname = by_host
    context.hostname_checks_common_name = False
    return context


def chain_of(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """The peer's certificates, DER, the leaf first, up to the anchor that vouches for it; the leaf alone where the
    library does not tell the rest."""
    leaf = connection.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    # Public from Python 3.13 on, and there since 3.10.
    told: Any = getattr(connection, "get_verified_chain", None)
    if told is None:
        told = getattr(getattr(connection, "_sslobj", None), "get_verified_chain", None)
    chain = [_der(one) for one in (told() if told is not None else ()) or ()]
    return tuple(chain) if chain and chain[0] == leaf else (leaf,)


def _der(one: Any) -> bytes:
    if isinstance(one, bytes):
        return one
    # _ssl.ENCODING_DER; the objects of Python 3.10 to 3.12 give PEM unless asked.
    der = one.public_bytes(2)
    return bytes(der)


def _context(
    protocol: int, identity: Identity, anchors: Sequence[bytes], versions: Sequence[Version]
) -> ssl.SSLContext:
    if not anchors:
        raise ValueError("RadSec needs an authority to believe: name one in radsec.authorities or radsec.anchors")
    context = ssl.SSLContext(protocol)
    # RFC 9765 section 3.4: where nothing but RADIUS/1.1 is spoken, nothing below TLS 1.3 is.
    only_new = Version.ONE_0 not in versions
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if only_new else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # An issuing authority may be believed without its root, so that its siblings are not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(anchors))
    context.set_alpn_protocols(alpn(versions))
    _load(context, identity)
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    """The library takes keys from files alone: this one lives in memory, belongs to us alone, and is gone with us."""
    made = os.memfd_create("radsec", os.MFD_CLOEXEC)
    try:
        os.write(made, identity.key + b"\n" + identity.chain)
        context.load_cert_chain(f"/proc/self/fd/{made}")
    finally:
        os.close(made)
