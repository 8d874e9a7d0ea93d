"""``certificate.*`` of a certificate that is shown: from its record and its bytes, never from what a caller says."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.pki.model import CertificateRecord
from troth.trust.decision.question import Given

_USAGES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.SMARTCARD_LOGON: "smartcardLogon",
    ExtendedKeyUsageOID.KERBEROS_PKINIT_KDC: "pkinitKdc",
    ExtendedKeyUsageOID.IPSEC_IKE: "ipsecIKE",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


def certificate_facts(record: CertificateRecord, at: datetime) -> dict[str, Given]:
    """What a policy may read of an issued certificate, without the root: ``{"serial": "03a1…", "age": timedelta}``.

    One that is only reserved has no bytes, and nothing is told of it but its key's assurance.
    """
    if record.der is None or record.sha256 is None:
        return {"key_assurance": record.key_assurance}
    since = record.issued_at or record.not_before
    return {
        "key_assurance": record.key_assurance,
        "issuer": record.authority,
        "serial": record.serial.hex(),
        "sha256": record.sha256.hex(),
        "profile": record.profile,
        "status": record.status,
        "issued_at": since,
        "not_before": record.not_before,
        "not_after": record.not_after,
        "age": at - since,
        "remaining": record.not_after - at,
        "names": [f"{kind}:{value}" for kind, value in record.names],
        "usages": _usages(record.der),
    }


def _usages(der: bytes) -> list[str]:
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return []
    return [_USAGES.get(usage, usage.dotted_string) for usage in found.value]
