"""Which names a peer's certificate carries, and whether one that an access server may have is among them.

RFC 6614 section 2.3 and radiusdtls-bis: a peer is known by subjectAltName (dNSName, iPAddress, URI) or by a certificate
policy that its authority gives to such peers alone; never by the common name of its subject. Names are written as
``dns:ap-7.example.org``, ``dns:*.ap.example.org`` (one label), ``ip:192.0.2.7``, ``uri:urn:…``, ``policy:1.3.6.1.…``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509

from troth.pki.unreadable import UNREADABLE
from troth.radius.radsec.errors import PEER_UNKNOWN, PeerRefused

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,18})){1,30}\Z")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
#: Names in one certificate that are looked at; more is no access server's.
MOST: Final = 64


class PeerCertificate(msgspec.Struct, frozen=True):
    """What is known of a peer by its certificate.

    Attributes:
        chain: DER, the leaf first; what stands above it as far as TLS told.
        names: as the module writes them, in lower case but for URIs.
        subject, not_after: for people, and for when it ends.
    """

    chain: tuple[bytes, ...]
    names: frozenset[str]
    subject: str
    not_after: datetime

    @property
    def leaf(self) -> bytes:
        """The certificate itself, DER."""
        return self.chain[0]


def read(chain: tuple[bytes, ...]) -> PeerCertificate:
    """The peer's certificate. Raises PeerRefused for one that cannot be read, or has more than 64 names."""
    try:
        leaf = x509.load_der_x509_certificate(chain[0])
        names = [*_alternative_names(leaf), *_policies(leaf)]
        subject = leaf.subject.rfc4514_string()[:200]
    except UNREADABLE as error:
        raise PeerRefused(PEER_UNKNOWN, "its certificate cannot be read") from error
    if len(names) > MOST:
        raise PeerRefused(PEER_UNKNOWN, f"its certificate has {len(names)} names")
    return PeerCertificate(chain, frozenset(names), subject, leaf.not_valid_after_utc)


def matches(certificate: PeerCertificate, allowed: Iterable[str]) -> str | None:
    """The first of ``allowed`` that the certificate carries; None: none of them."""
    for name in allowed:
        if name.startswith("dns:*."):
            suffix = name[5:]
            for own in certificate.names:
                if own.startswith("dns:") and own.endswith(suffix) and _LABEL.match(own[4 : -len(suffix)]):
                    return name
        elif name in certificate.names:
            return name
    return None


def checked(name: str) -> str:
    """``name`` as it is compared. Raises ValueError, in words, for one of another form."""
    kind, colon, value = name.partition(":")
    if not colon or not value or len(name) > 300:
        raise ValueError(f"{name[:80]!r}: write dns:NAME, ip:ADDRESS, uri:URI or policy:OID")
    if kind == "dns":
        labels = value.lower().rstrip(".").removeprefix("*.").split(".")
        if len(labels) < 2 or not all(_LABEL.match(label) for label in labels):
            raise ValueError(f"{name[:80]!r} is no host name of two labels or more")
        return f"dns:{value.lower().rstrip('.')}"
    if kind == "ip":
        return f"ip:{ipaddress.ip_address(value)}"
    if kind == "uri" and ":" in value and value.isascii() and value.isprintable() and " " not in value:
        return name
    if kind == "policy" and _OID.match(value):
        return name
    raise ValueError(f"{name[:80]!r}: write dns:NAME, ip:ADDRESS, uri:URI or policy:OID")


def _alternative_names(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    names: list[str] = []
    for one in found:
        if isinstance(one, x509.DNSName):
            # A wildcard in a certificate names many machines, and an access server is one.
            if "*" not in one.value:
                names.append(f"dns:{one.value.lower().rstrip('.')}")
        elif isinstance(one, x509.IPAddress):
            names.append(f"ip:{one.value}")
        elif isinstance(one, x509.UniformResourceIdentifier):
            names.append(f"uri:{one.value}")
    return names


def _policies(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return []
    return [f"policy:{one.policy_identifier.dotted_string}" for one in found]
