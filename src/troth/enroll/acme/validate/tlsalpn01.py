"""tls-alpn-01 (RFC 8737; RFC 8738 for addresses): the server presents a certificate made for the challenge."""

from __future__ import annotations

import hmac
import ssl
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from troth.enroll.acme.errors import VALIDATION_INCORRECT, VALIDATION_TLS
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.dial import dial, targets_of
from troth.enroll.acme.validate.network import NetworkPolicy
from troth.enroll.acme.validate.outcome import Challenge, Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver
from troth.pki.unreadable import UNREADABLE

_PROTOCOL = "acme-tls/1"
# 1.3.6.1.5.5.7.1.31. The 1.3.6.1.5.5.7.1.30.1 of early drafts is refused: it is just an unknown extension here.
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is self-signed by design; what it says is checked below
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_PROTOCOL])
    return context


_CONTEXT = _context()


async def validate_tlsalpn01(
    challenge: Challenge, *, port: int, resolver: Resolver, network: NetworkPolicy, log: Log
) -> None:
    """Return if the server behind the identifier presents the challenge's certificate. Raises NotShown."""
    identifier = challenge.identifier
    addresses = await targets_of(identifier, resolver)
    with await dial(
        addresses, port, network=network, log=log, tls=_CONTEXT, server_name=server_name_of(identifier)
    ) as line:
        session = line.transport.get_extra_info("ssl_object")
        if session.selected_alpn_protocol() != _PROTOCOL:
            raise NotShown(VALIDATION_TLS, f"the server did not choose the protocol {_PROTOCOL}", retryable=True)
        encoded = session.getpeercert(binary_form=True)
    if not encoded:
        raise NotShown(VALIDATION_TLS, "the server presented no certificate", retryable=False)
    check_certificate(encoded, identifier, challenge.digest())


def server_name_of(identifier: Identifier) -> str:
    """The SNI for ``identifier``: the name, or the address's name under in-addr.arpa or ip6.arpa (RFC 8738, 6)."""
    if identifier.type == "ip":
        return ip_address(identifier.value).reverse_pointer
    return identifier.value


def check_certificate(encoded: bytes, identifier: Identifier, digest: bytes) -> None:
    """Hold a DER certificate against RFC 8737, section 3. Raises NotShown."""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        extensions = certificate.extensions
        names = [
            name
            for extension in extensions
            if isinstance(extension.value, x509.SubjectAlternativeName)
            for name in extension.value
        ]
        acme = [extension for extension in extensions if extension.oid == _ACME_IDENTIFIER]
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        raise _wrong("the certificate is not signed by its own key") from None
    except UNREADABLE:
        raise _wrong("the certificate cannot be read, or is not self-signed") from None
    if len(names) != 1 or not _names(names[0], identifier):
        raise _wrong(f"the certificate must name exactly {identifier.value} and nothing else")
    if len(acme) != 1 or not acme[0].critical:
        raise _wrong("the certificate has no critical acmeIdentifier extension (1.3.6.1.5.5.7.1.31)")
    value = acme[0].value
    if not isinstance(value, x509.UnrecognizedExtension) or not hmac.compare_digest(value.value, b"\x04\x20" + digest):
        raise _wrong("the acmeIdentifier extension is not the digest of this challenge's key authorization")


def _names(name: x509.GeneralName, identifier: Identifier) -> bool:
    if identifier.type == "ip":
        return isinstance(name, x509.IPAddress) and name.value == ip_address(identifier.value)
    return isinstance(name, x509.DNSName) and name.value.lower() == identifier.value.lower()


def _wrong(detail: str) -> NotShown:
    return NotShown(VALIDATION_INCORRECT, detail, retryable=False)
