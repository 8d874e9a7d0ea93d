"""A hierarchy for the consumers: certificates of a root and of one issuing authority for each class."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from troth.kit.clock import SystemClock

if TYPE_CHECKING:
    from troth.pki.authorities import Authority

#: Slug and issuer class of the issuing authorities.
CLASSES = {"issuing": "open", "people": "people", "infrastructure": "infrastructure", "radius": "radius"}


def authority_certificate(name: str, key: Any, issuer: tuple[x509.Certificate, Any] | None = None) -> x509.Certificate:
    """A root, or an issuing authority under ``issuer``; ten years."""
    now = SystemClock().now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False
    )  # fmt: skip
    parent = issuer[1].public_key() if issuer else key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(parent), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )


def authority_row(slug: str, parent: str | None, certificate: x509.Certificate) -> Authority:
    """The catalogue's row of an authority."""
    from troth.pki.authorities import Authority
    from troth.pki.issuer_classes import EVERY, issuer_classes

    base = "http://pki.test"
    return Authority(
        slug=slug,
        name=certificate.subject.rfc4514_string(),
        kind="issuing" if parent else "root",
        parent=parent,
        certificate=certificate.public_bytes(Encoding.DER),
        key_id=slug if parent else None,
        state="active",
        trial=True,
        ca_issuers_url=f"{base}/ca/{slug}.cer" if parent else None,
        ocsp_url=f"{base}/ocsp/{slug}" if parent else None,
        crl_url=f"{base}/crl/{slug}.crl",
        created_at=SystemClock().now(),
        issuer_classes=issuer_classes([CLASSES[slug]]) if parent else EVERY,
    )
