"""A root and an issuing authority for benchmarks, ten years each."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(_usage(), critical=True)
    )


def root_certificate(now: datetime, house: str = "Bench") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A self-signed P-256 root and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{house} Root")])
    builder = _builder(name, name, now).public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def authority_under(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, spki: bytes, now: datetime, house: str = "Bench"
) -> x509.Certificate:
    """An issuing authority for the key with ``spki`` (DER), path length 0."""
    key = serialization.load_der_public_key(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("an issuing key of P-256 is expected")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{house} Issuing")])
    root_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(name, root.subject, now).public_key(key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False
    )
    return builder.sign(root_key, hashes.SHA256())
