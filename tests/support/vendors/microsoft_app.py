"""The certificate by which an app registration proves itself."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_KEY = rsa.generate_private_key(65537, 2048)
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "troth")])
CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(_NAME).issuer_name(_NAME).public_key(_KEY.public_key()).serial_number(1)
    .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    .sign(_KEY, SHA256())
)  # fmt: skip
#: As an administrator hands it over: the key, then the certificate.
PEM = (
    _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + CERTIFICATE.public_bytes(Encoding.PEM)
).decode()
