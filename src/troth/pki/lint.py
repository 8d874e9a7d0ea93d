"""Fast assertions on the exact bytes about to be signed, and the token that lets them be signed once.

The bytes come out of our own encoder and back through another's parser (cryptography), and every field is held
against what was asked: a defect in a template, a profile or the database shows here, before a signature makes it the
world's problem. It takes a seventh of a millisecond, so it runs on every leaf. The whole of pkilint runs elsewhere
(``lint_full``).

A :class:`LintToken` is the only way to a signature: it is made here and nowhere else, names the authority, the
reservation and the digest of the bytes, and can be redeemed once (Boulder's ``issuanceToken`` is the model).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtensionOID as Ext

from troth.pki.algorithms import dummy_signature
from troth.pki.attributes import Attributes, attributes_of
from troth.pki.errors import LINT_REFUSED, TOKEN_MISUSED, KeyRefused, LintRefused, NameRefused
from troth.pki.keycheck import check_spki
from troth.pki.names import GeneralNames, names_of
from troth.pki.profile import Profile
from troth.pki.serial import LENGTH, SerialNumber
from troth.pki.sid import SECURITY_EXTENSION, sid_extension
from troth.pki.template import TbsBytes, Template, subject_key_identifier, subject_of
from troth.pki.unreadable import UNREADABLE

_SECURITY = x509.ObjectIdentifier(SECURITY_EXTENSION)
#: Extensions by identifier: each is asked for it once.
_Stated: TypeAlias = dict[x509.ObjectIdentifier, x509.Extension[Any]]
_SEAL = object()


class Expected(msgspec.Struct, frozen=True):
    """What the certificate must say: the request as reserved, not as encoded."""

    serial: SerialNumber
    spki: bytes
    names: GeneralNames
    common_name: str | None
    not_before: datetime
    not_after: datetime
    now: datetime
    subject: Attributes = ()
    sid: str | None = None

    @property
    def whole_subject(self) -> Attributes:
        """The distinguished name: ``subject``, or of the common name alone."""
        return subject_of(self.subject, self.common_name)


class LintToken:
    """Leave to sign one TBS under one authority for one reservation, once."""

    __slots__ = ("_authority", "_redeemed", "_reservation", "_tbs_sha256")

    def __init__(self, authority: str, reservation: UUID, tbs: TbsBytes, *, seal: object) -> None:
        if seal is not _SEAL:
            raise LintRefused(TOKEN_MISUSED, "lint tokens are made by lint() alone")
        self._authority = authority
        self._reservation = reservation
        self._tbs_sha256 = hashlib.sha256(tbs).digest()
        self._redeemed = False

    def redeem(self, authority: str, reservation: UUID, tbs: TbsBytes) -> None:
        """Use the token up. Raises LintRefused when it was used before or names something else."""
        if self._redeemed:
            raise LintRefused(TOKEN_MISUSED, "a lint token can be redeemed once")
        self._redeemed = True
        if (authority, reservation, hashlib.sha256(tbs).digest()) != (
            self._authority,
            self._reservation,
            self._tbs_sha256,
        ):
            raise LintRefused(TOKEN_MISUSED, "a lint token is bound to its authority, reservation and bytes")


def lint(tbs: TbsBytes, template: Template, expected: Expected, *, reservation: UUID) -> LintToken:
    """A token for ``tbs`` if every assertion holds. Raises LintRefused; ``facts["findings"]`` lists the codes."""
    findings = findings_of(tbs, template, expected)
    if findings:
        raise LintRefused(LINT_REFUSED, ", ".join(findings), findings=findings)
    return LintToken(template.authority, reservation, tbs, seal=_SEAL)


def unsigned(tbs: TbsBytes, template: Template) -> bytes:
    """``tbs`` as a DER certificate that wears a dummy signature of the issuer's kind."""
    return template.certificate(tbs, dummy_signature(template.issuer_key))


def findings_of(tbs: TbsBytes, template: Template, expected: Expected) -> list[str]:
    """Codes of the assertions that fail, in order; empty when all hold."""
    try:
        certificate = x509.load_der_x509_certificate(unsigned(tbs, template))
        stated: _Stated = {one.oid: one for one in certificate.extensions}
    except UNREADABLE:
        # Whatever a strict parser dislikes, the certificate is unusable; there is nothing finer to say.
        return ["lint.unparsable"]
    checks = {
        "lint.encoding": certificate.tbs_certificate_bytes == tbs and certificate.version is x509.Version.v3,
        "lint.serial": certificate.serial_number == int.from_bytes(expected.serial, "big") > 0
        and len(expected.serial) == LENGTH,
        "lint.issuer": certificate.issuer == template.issuer_subject,
        "lint.subject": _subject_fits(certificate, expected),
        "lint.validity": _validity_fits(certificate, template, expected),
        "lint.key": _key_fits(certificate, template.profile, expected),
        "lint.extension_set": stated.keys()
        == _identifiers(template.extension_oids, names=bool(expected.names), sid=expected.sid is not None),
    }
    found = [code for code, holds in checks.items() if not holds]
    try:
        found += _extension_findings(stated, template, expected)
    except (KeyError, NameRefused, ValueError):
        found.append("lint.extension_unreadable")
    return found


def _subject_fits(certificate: x509.Certificate, expected: Expected) -> bool:
    wanted = expected.whole_subject
    if not wanted:
        return not list(certificate.subject) and bool(expected.names)
    try:
        return attributes_of(certificate.subject) == wanted
    except NameRefused:
        return False


def _validity_fits(certificate: x509.Certificate, template: Template, expected: Expected) -> bool:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    profile = template.profile
    return (
        (begin, end) == (expected.not_before, expected.not_after)
        and begin <= expected.now < end
        and expected.now - begin <= profile.backdate + timedelta(minutes=1)
        and end - begin + timedelta(seconds=1) <= profile.max_lifetime
        and template.issuer_not_before <= begin
        and end <= template.issuer_not_after
    )


def _key_fits(certificate: x509.Certificate, profile: Profile, expected: Expected) -> bool:
    # The certificate's own, as the library reads it, is to be the one that was checked when the request came in, or is
    # now.
    try:
        checked = check_spki(expected.spki, offered=False)
    except KeyRefused:
        return False
    return certificate.public_key() == checked.public and checked.spki == expected.spki and checked.kind in profile.keys


@lru_cache(maxsize=256)
def _identifiers(fixed: frozenset[str], *, names: bool, sid: bool) -> frozenset[x509.ObjectIdentifier]:
    """Those of a certificate's extensions: the template's own, and of its names and its SID."""
    others = ((names, Ext.SUBJECT_ALTERNATIVE_NAME), (sid, _SECURITY))
    return frozenset({*map(x509.ObjectIdentifier, fixed), *(other for there, other in others if there)})


def _extension_findings(stated: _Stated, template: Template, expected: Expected) -> list[str]:
    profile = template.profile
    found = []

    def need(code: str, holds: bool) -> None:
        if not holds:
            found.append(code)

    usage = stated[Ext.KEY_USAGE]
    need("lint.key_usage", usage.critical and usage.value == template.key_usage)
    extended, wanted = stated[Ext.EXTENDED_KEY_USAGE].value, template.extended_key_usage
    need("lint.extended_key_usage", bool(wanted) and set(extended) == wanted)
    if profile.basic_constraints == "end-entity":
        constraints = stated[Ext.BASIC_CONSTRAINTS]
        need("lint.basic_constraints", constraints.critical and not constraints.value.ca)
    authority = stated[Ext.AUTHORITY_KEY_IDENTIFIER].value
    need("lint.authority_key_identifier", authority.key_identifier == template.issuer_key_id)
    subject = stated[Ext.SUBJECT_KEY_IDENTIFIER].value
    need("lint.subject_key_identifier", subject.digest == subject_key_identifier(expected.spki))
    if expected.names:
        names = stated[Ext.SUBJECT_ALTERNATIVE_NAME]
        need(
            "lint.subject_alternative_name",
            tuple(names_of(names.value)) == expected.names and names.critical == (not expected.whole_subject),
        )
    if expected.sid is not None:
        security = stated[_SECURITY].value
        need(
            "lint.security_identifier",
            isinstance(security, x509.UnrecognizedExtension) and security.value == sid_extension(expected.sid),
        )
    return found
