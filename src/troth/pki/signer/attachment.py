"""The limits of an issuing key, read from its authority's certificate."""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from troth.pki.issuer_classes import issuer_classes
from troth.pki.keys.model import IssuingLimits
from troth.pki.reading import value_of
from troth.pki.signer.certificate_rules import extension_value, read_tbs
from troth.pki.signer.class_rules import bounds_of
from troth.pki.signer.errors import AUTHORITY_CERTIFICATE, SignerRefused
from troth.pki.signer.name_constraints import read_constraints
from troth.pki.signer.protocol import Bounds
from troth.pki.unreadable import UNREADABLE

_ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string


def limits_from(certificate: bytes, spki: bytes, bounds: Bounds, now: datetime) -> IssuingLimits:
    """The limits of the key with ``spki`` as the authority of ``certificate`` (DER). Raises SignerRefused."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        extensions = parsed.extensions
    except UNREADABLE as error:
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
    name_constraints = extension_value(parsed.tbs_certificate_bytes, ExtensionOID.NAME_CONSTRAINTS)
    if name_constraints is not None:
        try:
            read_constraints(name_constraints)
        except ValueError as error:
            raise SignerRefused(AUTHORITY_CERTIFICATE, str(error)) from error
    if not bounds.issuer_classes or tuple(issuer_classes(bounds.issuer_classes)) != bounds.issuer_classes:
        raise SignerRefused(AUTHORITY_CERTIFICATE, "the issuer classes must be named, each once and in order")
    if not set(bounds.extended_key_usages) <= set(bounds_of(bounds.issuer_classes).extended_key_usages):
        raise SignerRefused(AUTHORITY_CERTIFICATE, "an extended key usage is not for the authority's issuer classes")
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
        name_constraints=name_constraints,
        **msgspec.structs.asdict(bounds),
    )


def wider(bounds: Bounds) -> bool:
    """Whether ``bounds`` let a key do more than is usual: then the pinned approvers are asked.

    Usual is what one issuer class may do; an authority of several classes, or of all, is held to the default bounds.
    """
    usual = bounds_of(bounds.issuer_classes) if len(bounds.issuer_classes) == 1 else Bounds()
    longer = (
        bounds.max_validity_seconds > usual.max_validity_seconds
        or bounds.max_backdate_seconds > usual.max_backdate_seconds
        or bounds.max_crl_validity_seconds > usual.max_crl_validity_seconds
    )
    return bounds.allow_ca or longer or not set(bounds.extended_key_usages) <= set(usual.extended_key_usages)
