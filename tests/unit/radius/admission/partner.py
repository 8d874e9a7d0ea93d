"""A partner's authorities and their revocation lists."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.radius.admission.world import AT, issue
from troth.pki.anchor_store import TrustAnchor

KEY = ec.generate_private_key(ec.SECP256R1())
PARTNER = issue("Partner Root", None, key=KEY, signer=KEY, ca=True, ends=AT + timedelta(days=900))
BELOW = issue("Partner Issuing", PARTNER, signer=KEY, key=KEY, ca=True)
ANCHOR = TrustAnchor(
    PARTNER.fingerprint(hashes.SHA256()), "Partner Root", PARTNER.public_bytes(Encoding.DER), ("clientAuth",),
    PARTNER.not_valid_after_utc, AT, "admin:a",
)  # fmt: skip


def crl(
    *serials: int,
    issuer: x509.Certificate = PARTNER,
    key: ec.EllipticCurvePrivateKey = KEY,
    begins: datetime = AT - timedelta(hours=1),
    ends: datetime = AT + timedelta(days=7),
    number: int = 1,
    delta: bool = False,
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(begins)
        .next_update(ends)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    if delta:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(AT - timedelta(days=1))
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
