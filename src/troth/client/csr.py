"""Certificate requests (PKCS #10) for a key that stays with the caller."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from troth.client.jose import PrivateKey


def certificate_request(
    key: PrivateKey, *, dns: Iterable[str] = (), ip: Iterable[str] = (), common_name: str = ""
) -> bytes:
    """A DER certificate request for the given names, signed with ``key``."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
    names.extend(x509.IPAddress(ip_address(address)) for address in ip)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    hashed = isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    algorithm = hashes.SHA256() if hashed else None
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def renewal_request(key: PrivateKey, present: x509.Certificate) -> bytes:
    """A DER certificate request for the subject and the names of ``present``, signed with ``key`` (RFC 7030, 4.2.2)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(present.subject)
    try:
        held = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        builder = builder.add_extension(held, critical=False)
    except x509.ExtensionNotFound:
        pass  # then the subject says it all
    hashed = isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    return builder.sign(key, hashes.SHA256() if hashed else None).public_bytes(Encoding.DER)
