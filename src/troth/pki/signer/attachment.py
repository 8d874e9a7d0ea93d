"""The limits of an issuing key, read from its authority's certificate."""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.pki.keys.model import IssuingLimits
from troth.pki.signer.certificate_rules import read_tbs, value_of
from troth.pki.signer.errors import AUTHORITY_CERTIFICATE, SignerRefused
from troth.pki.signer.protocol import Bounds

_ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string


def limits_from(certificate: bytes, spki: bytes, bounds: Bounds, now: datetime) -> IssuingLimits:
    """The limits of the key with ``spki`` as the authority of ``certificate`` (DER). Raises SignerRefused."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        extensions = parsed.extensions
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the certificate cannot be read") from error
    fields = read_tbs(parsed.tbs_certificate_bytes)
    constraints = value_of(extensions, x509.BasicConstraints)
    usage = value_of(extensions, x509.KeyUsage)
    identifier = value_of(extensions, x509.SubjectKeyIdentifier)
    if fields.spki != spki:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the certificate carries another key")
    if constraints is None or not constraints.ca or usage is None or not (usage.key_cert_sign and usage.crl_sign):
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the certificate is not an authority's")
    if identifier is None or fields.subject == b"\x30\x00":
        raise SignerRefused(AUTHORITY_CERTIFICATE, "an authority needs a subject and a subject key identifier")
    if not parsed.not_valid_before_utc <= now < parsed.not_valid_after_utc:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the certificate is not in force")
    if value_of(extensions, x509.NameConstraints) is not None:
        # To sign outside of one's own constraints makes certificates that nobody accepts; until they are enforced
        # here such an authority is refused.
        raise SignerRefused(AUTHORITY_CERTIFICATE, "name constraints of an authority are not enforced by this signer")
    if not bounds.extended_key_usages or _ANY_USAGE in bounds.extended_key_usages:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the extended key usages must be named")
    if bounds.allow_ca and constraints.path_length == 0:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "an authority with path length 0 signs no CA certificates")
    lengths = (bounds.max_validity_seconds, bounds.max_backdate_seconds, bounds.max_crl_validity_seconds)
    if min(lengths) < 0 or max(lengths) > 100 * 366 * 86_400:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "a bound is negative or above 100 years")
    return IssuingLimits(
        subject=fields.subject,
        key_identifier=identifier.digest,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        path_length=constraints.path_length,
        **msgspec.structs.asdict(bounds),
    )


def wider(bounds: Bounds) -> bool:
    """Whether ``bounds`` let a key do more than the default ones: then the pinned approvers are asked."""
    usual = Bounds()
    longer = (
        bounds.max_validity_seconds > usual.max_validity_seconds
        or bounds.max_backdate_seconds > usual.max_backdate_seconds
        or bounds.max_crl_validity_seconds > usual.max_crl_validity_seconds
    )
    return bounds.allow_ca or longer or not set(bounds.extended_key_usages) <= set(usual.extended_key_usages)
