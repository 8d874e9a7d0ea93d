"""Why a certificate lets nobody in, whatever policy says of its subject."""

from __future__ import annotations

from troth.kit.errors import reason

CERTIFICATE_UNKNOWN = reason(
    "trust.connect.certificate_unknown",
    "no certificate of that SHA-256 was ever issued here",
    fix="Show a certificate that this installation has issued; one that only its key has signed admits nobody.",
    status=403,
)
CERTIFICATE_REVOKED = reason(
    "trust.connect.certificate_revoked",
    "the certificate is revoked",
    fix="Have a new one issued.",
    status=403,
)
CERTIFICATE_HELD = reason(
    "trust.connect.certificate_held",
    "the certificate is on hold",
    fix="Clear what it is held for; 'troth why' lists it.",
    status=403,
)
CERTIFICATE_EXPIRED = reason(
    "trust.connect.certificate_expired",
    "the certificate has ended",
    fix="Renew it.",
    status=403,
)
CERTIFICATE_NOT_YET = reason(
    "trust.connect.certificate_not_yet",
    "the certificate is not valid yet",
    fix="Compare the clocks.",
    status=403,
)
CERTIFICATE_SUBJECTLESS = reason(
    "trust.connect.certificate_subjectless",
    "the certificate speaks for no subject, so there is nobody to trust",
    fix="Issue one for a user, device or workload.",
    status=403,
)
