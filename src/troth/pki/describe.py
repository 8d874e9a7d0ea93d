"""A certificate in words: what a person wants to read of it, field by field, in the order in which it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from troth.pki.attributes import attributes_of, attributes_text
from troth.pki.errors import NameRefused
from troth.pki.extensions import NO_REV_AVAIL, TLS_FEATURE
from troth.pki.names import names_of
from troth.pki.sid import SECURITY_EXTENSION, read_sid_extension
from troth.pki.usages import KEY_USAGES, usage_name

Field = tuple[str, str]
_FLAGS = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}


def describe(certificate: x509.Certificate) -> list[Field]:
    """(label, text) of subject, validity and every extension. Raises ValueError for what cannot be read."""
    found: list[Field] = [
        ("Subject", _name(certificate.subject) or "empty"),
        ("Issuer", _name(certificate.issuer)),
        ("Not before", _time(certificate.not_valid_before_utc)),
        ("Not after", _time(certificate.not_valid_after_utc)),
    ]
    for extension in certificate.extensions:
        mark = " (critical)" if extension.critical else ""
        found += [(f"{label}{mark}", text) for label, text in _extension(extension)]
    return found


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _name(name: x509.Name) -> str:
    try:
        attributes = attributes_of(name)
    except NameRefused:
        return name.rfc4514_string()
    return attributes_text(attributes) if attributes else ""


def _extension(extension: x509.Extension[x509.ExtensionType]) -> Iterator[Field]:
    value = extension.value
    if isinstance(value, x509.KeyUsage):
        yield "Key usage", ", ".join(name for name in KEY_USAGES if getattr(value, _FLAGS[name]))
    elif isinstance(value, x509.ExtendedKeyUsage):
        yield "Good for", ", ".join(usage_name(oid.dotted_string) for oid in value)
    elif isinstance(value, x509.BasicConstraints):
        length = "" if value.path_length is None else f", path length {value.path_length}"
        yield "Authority", f"yes{length}" if value.ca else "no"
    elif isinstance(value, x509.SubjectAlternativeName):
        for kind, text in names_of(value):
            yield f"Name: {kind}", text
    elif isinstance(value, x509.AuthorityInformationAccess):
        for access in value:
            kind = "OCSP" if access.access_method == AuthorityInformationAccessOID.OCSP else "Issuer certificate"
            yield kind, str(access.access_location.value)
    elif isinstance(value, x509.CRLDistributionPoints):
        for point in value:
            for name in point.full_name or ():
                yield "CRL", str(name.value)
    elif isinstance(value, x509.CertificatePolicies):
        for policy in value:
            places = [text for text in policy.policy_qualifiers or () if isinstance(text, str)]
            yield "Policy", ", ".join([policy.policy_identifier.dotted_string, *places])
    elif isinstance(value, x509.NameConstraints):
        for word, names in (("Permitted", value.permitted_subtrees), ("Excluded", value.excluded_subtrees)):
            for name in names or ():
                yield f"{word} names", str(name.value)
    elif isinstance(value, x509.SubjectKeyIdentifier):
        yield "Key identifier", value.digest.hex()
    elif isinstance(value, x509.AuthorityKeyIdentifier):
        yield "Issuer key identifier", (value.key_identifier or b"").hex()
    else:
        yield _rarer(extension)


def _rarer(extension: x509.Extension[x509.ExtensionType]) -> Field:
    oid, value = extension.oid.dotted_string, extension.value
    if oid == NO_REV_AVAIL:
        return "Status", "none is told of it (RFC 9608)"
    if oid == TLS_FEATURE:
        return "Stapling", "the server must staple its OCSP answer"
    if isinstance(value, x509.OCSPNoCheck):
        return "Status", "the responder itself is not checked"
    if oid == SECURITY_EXTENSION and isinstance(value, x509.UnrecognizedExtension):
        return "Security identifier", read_sid_extension(value.value)
    raw = value.value if isinstance(value, x509.UnrecognizedExtension) else value.public_bytes()
    return oid, raw.hex()
