"""The limits of an issuing key, held against the bytes it is about to sign.

The signer trusts no description of what it signs: it reads the TBSCertificate again, first by hand (the fields whose
exact octets matter), then with cryptography under a dummy signature (extensions, times, names). Only what both can
read is signed. What a certificate *should* say is the gate's business; here stands what it may never say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from cryptography import x509

from troth.pki import der
from troth.pki.issuer_classes import EVERY
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.signer.class_rules import (
    NO_POLICY,
    OCSP_SIGNING,
    REGISTRATION_AUTHORITY,
    SERVER_AUTH,
    SID_EXTENSION,
    ClassCheck,
    Policy,
)
from troth.pki.signer.errors import (
    LIMIT_ALGORITHM,
    LIMIT_AUTHORITY_KEY,
    LIMIT_CA,
    LIMIT_EXTENDED_KEY_USAGE,
    LIMIT_EXTENSION,
    LIMIT_ISSUER,
    LIMIT_KEY_USAGE,
    LIMIT_NAME_CONSTRAINTS,
    LIMIT_OWN_KEY,
    LIMIT_RESPONDER,
    LIMIT_SERIAL,
    LIMIT_VALIDITY,
    MALFORMED,
    SignerRefused,
)
from troth.pki.signer.name_constraints import NameConstraints
from troth.pki.unreadable import UNREADABLE

#: A responder with nocheck cannot be revoked (RFC 6960, 4.2.2.2.1), so it lives a week at most.
MAX_RESPONDER_VALIDITY = timedelta(days=7)
#: How far ahead of the signer's clock a certificate or CRL may start.
MAX_AHEAD = timedelta(minutes=5)

_T = TypeVar("_T", bound=x509.ExtensionType)
_MIN_SERIAL, _MAX_SERIAL = 8, 20
#: What may stand in a certificate, as cryptography reads it. All other extensions are refused, critical or not:
#: Windows, for one, believes its application policies (1.3.6.1.4.1.311.21.10) rather than the usages beside them.
_KNOWN: frozenset[type[x509.ExtensionType]] = frozenset(
    {
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.BasicConstraints,
        x509.AuthorityKeyIdentifier,
        x509.SubjectKeyIdentifier,
        x509.SubjectAlternativeName,
        x509.AuthorityInformationAccess,
        x509.CRLDistributionPoints,
        x509.FreshestCRL,
        x509.CertificatePolicies,
        x509.OCSPNoCheck,
        x509.TLSFeature,
    }
)
#: Those that mean something in CA certificates alone (RFC 5280, 4.2.1.10, 4.2.1.11, 4.2.1.14).
_CA_ONLY: frozenset[type[x509.ExtensionType]] = frozenset(
    {x509.NameConstraints, x509.PolicyConstraints, x509.InhibitAnyPolicy}
)
#: What cryptography does not read, and may stand there uncritically.
_UNREAD = frozenset(
    {
        SID_EXTENSION,
        x509.ObjectIdentifier("2.5.29.56"),  # noRevAvail (RFC 9608)
        x509.ObjectIdentifier("1.2.840.113549.1.9.15"),  # S/MIME capabilities (RFC 4262)
    }
)
_Values: TypeAlias = dict[type[x509.ExtensionType], Any]
#: Made by the signer, or not certified for this.
_OWN_USAGES = {OCSP_SIGNING: KeyPurpose.OCSP, REGISTRATION_AUTHORITY: KeyPurpose.RA}


@dataclass(frozen=True, slots=True)
class TbsFields:
    """Fields of a TBSCertificate in their exact octets.

    Attributes:
        serial: the INTEGER's content.
        algorithm: AlgorithmIdentifier, whole.
        issuer: Name, whole.
        subject: Name, whole.
        spki: SubjectPublicKeyInfo, whole.
    """

    serial: bytes
    algorithm: bytes
    issuer: bytes
    subject: bytes
    spki: bytes


def read_tbs(tbs: bytes) -> TbsFields:
    """The fields of a version 3 TBSCertificate without unique identifiers. Raises SignerRefused."""
    try:
        outer = der.Reader(tbs)
        reader = outer.enter(der.SEQUENCE)
        outer.close()
        version = reader.enter(0xA0)
        if version.read(der.INTEGER) != b"\x02":
            raise der.DerError("not version 3")
        version.close()
        serial = reader.read(der.INTEGER)
        der.read_integer(serial)
        algorithm, issuer = reader.whole(), reader.whole()
        reader.read(der.SEQUENCE)  # validity: cryptography reads it
        subject, spki = reader.whole(), reader.whole()
        reader.read(0xA3)
        reader.close()
    except der.DerError as error:
        raise SignerRefused(MALFORMED, f"TBSCertificate: {error}") from error
    return TbsFields(serial, algorithm, issuer, subject, spki)


def parse_tbs(tbs: bytes, algorithm: bytes) -> x509.Certificate:
    """``tbs`` as cryptography reads it, under a dummy signature. Raises SignerRefused."""
    try:
        certificate = x509.load_der_x509_certificate(der.sequence(tbs, algorithm, der.bits(bytes(64))))
        _ = certificate.extensions, certificate.subject
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except UNREADABLE as error:
        raise SignerRefused(MALFORMED, "the TBSCertificate cannot be read") from error
    if certificate.tbs_certificate_bytes != tbs:
        raise SignerRefused(MALFORMED, "the TBSCertificate has more than one reading")
    return certificate


class CertificateRules:
    """The limits of one issuing key, ready to be applied.

    Args:
        own_key: finds the key of this signer that has a given SubjectPublicKeyInfo.
        policy: what this signer's own configuration says.
    """

    def __init__(
        self,
        algorithm: KeyAlgorithm,
        limits: IssuingLimits,
        own_key: Callable[[bytes], KeyMetadata | None],
        policy: Policy = NO_POLICY,
    ) -> None:
        self._algorithm = algorithm.signature_algorithm
        self._limits = limits
        self._classes = ClassCheck(limits.issuer_classes, policy.reserved)
        self._usages = frozenset(limits.extended_key_usages) & self._classes.usages
        self._constraints = None if limits.name_constraints is None else NameConstraints(limits.name_constraints)
        self._foreign_radius_keys = policy.foreign_radius_keys
        self._own_key = own_key

    def check(self, tbs: bytes, now: datetime) -> bytes:
        """The serial number's octets, if ``tbs`` keeps every limit at ``now``. Raises SignerRefused."""
        fields = read_tbs(tbs)
        if not (_MIN_SERIAL <= len(fields.serial) <= _MAX_SERIAL) or fields.serial[0] & 0x80:
            raise SignerRefused(LIMIT_SERIAL)
        if fields.algorithm != self._algorithm:
            raise SignerRefused(LIMIT_ALGORITHM)
        if fields.issuer != self._limits.subject:
            raise SignerRefused(LIMIT_ISSUER)
        certificate = parse_tbs(tbs, fields.algorithm)
        self._check_validity(certificate, now)
        values, sid = _sorted(certificate.extensions)
        self._check_authority_key(values)
        ca = self._check_ca(values)
        usages = self._check_usages(values, ca)
        _check_extension_set(values, ca, responder=OCSP_SIGNING in usages)
        names, subject = values.get(x509.SubjectAlternativeName, ()), certificate.subject
        radius = self._classes.check(names, subject, usages, sid=sid)
        if self._constraints is not None:
            self._constraints.check(names, subject, server=SERVER_AUTH in usages)
            if ca and not self._constraints.carried_by(values.get(x509.NameConstraints)):
                raise SignerRefused(LIMIT_NAME_CONSTRAINTS, "a CA certificate carries its issuer's constraints")
        self._check_own_key(fields.spki, certificate, usages, ca=ca, radius=radius)
        return fields.serial

    def _check_validity(self, certificate: x509.Certificate, now: datetime) -> None:
        limits = self._limits
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        # The last second is inclusive (RFC 5280, 4.1.2.5), so one is added.
        if end - begin + timedelta(seconds=1) > timedelta(seconds=limits.max_validity_seconds):
            raise SignerRefused(LIMIT_VALIDITY, f"longer than {limits.max_validity_seconds} s")
        if end > limits.not_after or begin < limits.not_before:
            raise SignerRefused(LIMIT_VALIDITY, "not within the authority's own validity")
        if end <= now or begin > now + MAX_AHEAD or begin < now - timedelta(seconds=limits.max_backdate_seconds):
            raise SignerRefused(LIMIT_VALIDITY, "it does not start at the present")

    def _check_authority_key(self, values: _Values) -> None:
        found = values.get(x509.AuthorityKeyIdentifier)
        if found is None or found.key_identifier != self._limits.key_identifier or found.authority_cert_issuer:
            raise SignerRefused(LIMIT_AUTHORITY_KEY)

    def _check_ca(self, values: _Values) -> bool:
        constraints = values.get(x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            return False
        above = self._limits.path_length
        if not self._limits.allow_ca or above == 0:
            raise SignerRefused(LIMIT_CA)
        if above is not None and (constraints.path_length is None or constraints.path_length >= above):
            raise SignerRefused(LIMIT_CA, f"the path length must be below {above}")
        return True

    def _check_usages(self, values: _Values, ca: bool) -> frozenset[str]:
        usage = values.get(x509.KeyUsage)
        # A certificate without key usage may be used for anything, CRLs included (RFC 5280, 6.3.3 f).
        if usage is None or usage.key_cert_sign != ca or (usage.crl_sign and not ca):
            raise SignerRefused(LIMIT_KEY_USAGE)
        extended = values.get(x509.ExtendedKeyUsage)
        if extended is None:
            # Without one a subordinate authority could issue for any class.
            if not ca or self._limits.issuer_classes != EVERY:
                raise SignerRefused(LIMIT_EXTENDED_KEY_USAGE, "extended key usage is never absent")
            return frozenset()
        usages = frozenset(oid.dotted_string for oid in extended)
        if not usages or not usages <= self._usages:
            raise SignerRefused(LIMIT_EXTENDED_KEY_USAGE)
        if not usages.isdisjoint(_OWN_USAGES) and (ca or len(usages) > 1):
            raise SignerRefused(
                LIMIT_EXTENDED_KEY_USAGE, "OCSPSigning and cmcRA stand alone, in a certificate that is no CA's"
            )
        return usages

    def _check_own_key(
        self, spki: bytes, certificate: x509.Certificate, usages: frozenset[str], *, ca: bool, radius: bool
    ) -> None:
        """Keys that speak for Troth are certified only if they were made here, and then only for what they are."""
        own = self._own_key(spki)
        purpose = None if own is None else own.purpose
        for usage, needed in _OWN_USAGES.items():
            if usage in usages:
                if own is None or purpose is not needed:
                    raise SignerRefused(LIMIT_RESPONDER if needed is KeyPurpose.OCSP else LIMIT_OWN_KEY)
                if needed is KeyPurpose.OCSP:
                    _check_responder(certificate, own)
                return
        if radius:
            if purpose is not KeyPurpose.RADIUS and not (own is None and self._foreign_radius_keys):
                raise SignerRefused(LIMIT_OWN_KEY, "a RADIUS server's key is made in the signer")
        elif own is not None and not (ca and purpose is KeyPurpose.ISSUING):
            raise SignerRefused(LIMIT_RESPONDER, f"the signer's own {purpose} keys serve their purpose alone")


def _check_responder(certificate: x509.Certificate, own: KeyMetadata) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    too_long = end - begin + timedelta(seconds=1) > MAX_RESPONDER_VALIDITY
    if too_long or (own.use_until is not None and end > own.use_until):
        raise SignerRefused(LIMIT_VALIDITY, "a responder lives 7 days at most, and no longer than its key")


def _sorted(extensions: x509.Extensions) -> tuple[_Values, bool]:
    """The values by their type, and whether there is a security identifier. Raises SignerRefused for unknown ones."""
    values: _Values = {}
    sid = False
    for extension in extensions:
        value = extension.value
        if type(value) is x509.UnrecognizedExtension:
            if extension.critical or extension.oid not in _UNREAD:
                raise SignerRefused(LIMIT_EXTENSION, f"{extension.oid.dotted_string} is not known here")
            sid = sid or extension.oid == SID_EXTENSION
        else:
            values[type(value)] = value
    return values, sid


def _check_extension_set(values: _Values, ca: bool, *, responder: bool) -> None:
    for kind in values.keys() - _KNOWN:
        if kind not in _CA_ONLY:
            raise SignerRefused(LIMIT_EXTENSION, f"{kind.oid.dotted_string} is not known here")
        if not ca:
            raise SignerRefused(LIMIT_EXTENSION, f"{kind.oid.dotted_string} belongs in CA certificates")
    # nocheck exempts from revocation: for responders, which live a week, and for nothing else.
    if x509.OCSPNoCheck in values and not responder:
        raise SignerRefused(LIMIT_EXTENSION, "ocsp-nocheck belongs in a responder's certificate")


def extension_value(tbs: bytes, oid: x509.ObjectIdentifier) -> bytes | None:
    """The octets of an extension's value in a TBSCertificate as they stand, or None. Raises SignerRefused."""
    wanted = der.oid(oid.dotted_string)
    try:
        reader = der.Reader(tbs).enter(der.SEQUENCE)
        while reader.peek() != 0xA3:
            reader.whole()
        extensions = reader.enter(0xA3).enter(der.SEQUENCE)
        while not extensions.empty:
            one = extensions.enter(der.SEQUENCE)
            if one.whole() == wanted:
                one.take(der.BOOLEAN)
                return one.read(der.OCTET_STRING)
    except der.DerError as error:
        raise SignerRefused(MALFORMED, f"TBSCertificate: {error}") from error
    return None
