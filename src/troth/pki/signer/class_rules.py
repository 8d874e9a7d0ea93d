"""What each issuer class may certify: the table, and certificates held against it.

The table is code, so that neither the database nor a setting can widen it. An authority of several classes may do
what any of them may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from troth.kit.settings import PkiSettings
from troth.pki.issuer_classes import IssuerClass, IssuerClasses
from troth.pki.names import canonical_dns
from troth.pki.signer.errors import LIMIT_CLASS, LIMIT_NAME, LIMIT_RESERVED_NAME, SignerRefused
from troth.pki.signer.protocol import Bounds

_DAY = 86_400
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
CODE_SIGNING, EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.4"
TIME_STAMPING, OCSP_SIGNING = "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9"
#: RFC 4334, 2: a certificate for EAP over a LAN.
EAP_OVER_LAN = "1.3.6.1.5.5.7.3.14"
IPSEC_IKE = "1.3.6.1.5.5.7.3.17"  # RFC 4945, 5.1.3.12
#: RFC 6402, 2.10: a registration authority.
REGISTRATION_AUTHORITY = "1.3.6.1.5.5.7.3.28"
DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"  # RFC 9336
#: RFC 4556, 3.2.2 and 3.2.4: Kerberos log-on with a certificate, and the KDC that takes it.
PKINIT_CLIENT, PKINIT_KDC = "1.3.6.1.5.2.3.4", "1.3.6.1.5.2.3.5"
#: TCG EK Credential Profile: a TPM's attestation key, whose word makes other keys "attested".
TPM_ATTESTATION_KEY = "2.23.133.8.3"
SMARTCARD_LOGON = ExtendedKeyUsageOID.SMARTCARD_LOGON.dotted_string

#: Kinds of names: of general names, and of otherName by its type (RFC 5280, 4.2.1.6; RFC 4043; RFC 4108; RFC 7585).
_KINDS: Mapping[type[x509.GeneralName], str] = {
    x509.DNSName: "dns",
    x509.IPAddress: "ip",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "uri",
    x509.DirectoryName: "directory",
}
_OTHER_NAMES = {
    "1.3.6.1.4.1.311.20.2.3": "upn",
    "1.3.6.1.5.5.7.8.3": "permanent-identifier",
    "1.3.6.1.5.5.7.8.4": "hardware-module",
    "1.3.6.1.5.5.7.8.8": "nai-realm",
    "1.3.6.1.5.2.2": "kerberos",
}
#: Active Directory's strong mapping in the form of a URI; the other form is the extension below.
_SID_URI = "tag:microsoft.com,2022-09-14:sid:"
SID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")


@dataclass(frozen=True, slots=True)
class ClassRule:
    """What one class may certify.

    Attributes:
        usages: extended key usages, dotted. Each authority certifies its own OCSP responder.
        names: kinds of subject alternative names.
        max_validity_days: of certificates, where the authority is bound no closer.
        log_on: names that Active Directory logs somebody on by: UPN, SID.
    """

    usages: frozenset[str]
    names: frozenset[str]
    max_validity_days: int = 398
    log_on: bool = False


RULES: Mapping[IssuerClass, ClassRule] = {
    IssuerClass.OPEN: ClassRule(
        frozenset({SERVER_AUTH, CLIENT_AUTH, IPSEC_IKE, OCSP_SIGNING}),
        frozenset({"dns", "ip", "email", "uri", "directory", "permanent-identifier", "hardware-module"}),
    ),
    IssuerClass.PEOPLE: ClassRule(
        frozenset(
            {
                CLIENT_AUTH,
                EMAIL_PROTECTION,
                CODE_SIGNING,
                DOCUMENT_SIGNING,
                SMARTCARD_LOGON,
                PKINIT_CLIENT,
                IPSEC_IKE,
                OCSP_SIGNING,
            }
        ),
        # DNS names without serverAuth: a domain-joined machine that carries a SID.
        frozenset({"dns", "email", "uri", "directory", "upn", "kerberos", "permanent-identifier"}),
        max_validity_days=3 * 366,
        log_on=True,
    ),
    IssuerClass.INFRASTRUCTURE: ClassRule(
        frozenset(
            {
                SERVER_AUTH,
                CLIENT_AUTH,
                IPSEC_IKE,
                TIME_STAMPING,
                PKINIT_KDC,
                REGISTRATION_AUTHORITY,
                TPM_ATTESTATION_KEY,
                OCSP_SIGNING,
            }
        ),
        frozenset({"dns", "ip", "uri", "directory", "kerberos", "permanent-identifier"}),
    ),
    IssuerClass.RADIUS: ClassRule(
        frozenset({SERVER_AUTH, EAP_OVER_LAN, OCSP_SIGNING}), frozenset({"dns", "nai-realm", "directory"})
    ),
}


def bounds_of(classes: IssuerClasses) -> Bounds:
    """The widest bounds that an authority of ``classes`` may be given."""
    rules = [RULES[one] for one in classes]
    return Bounds(
        max_validity_seconds=max(rule.max_validity_days for rule in rules) * _DAY,
        extended_key_usages=tuple(sorted(frozenset[str]().union(*(rule.usages for rule in rules)))),
        issuer_classes=classes,
    )


class ReservedNames:
    """Names of RADIUS servers, and everything below them.

    A supplicant that is told ``domain_suffix_match=radius.example`` believes every name that ends so, hence a reserved
    name reserves what lies below it, and a wildcard that would match it is taken for it.

    Args:
        names: DNS names, lower-case.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._suffixes = tuple(f".{name}" for name in self._names)
        self._wildcards = frozenset(f"*.{name.partition('.')[2]}" for name in self._names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def covers(self, name: str) -> bool:
        """Whether a client that looks for a reserved name would take ``name`` for it."""
        name = name.strip().lower().rstrip(".")
        return name in self._names or name in self._wildcards or name.endswith(self._suffixes)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the signer reads in its own configuration.

    Attributes:
        reserved: names of RADIUS servers.
        foreign_radius_keys: certify RADIUS servers whose key the signer has not made: for those that are not Troth's.
    """

    reserved: ReservedNames
    foreign_radius_keys: bool = False


NO_POLICY = Policy(ReservedNames())


def policy_of(settings: PkiSettings) -> Policy:
    """The policy in the configuration. Raises NameRefused for a name that is no host name: it would reserve nothing."""
    names = [canonical_dns(name, wildcard=False) for name in settings.radius_names]
    return Policy(ReservedNames(names), settings.foreign_radius_keys)


class ClassCheck:
    """The table, for the classes of one authority."""

    def __init__(self, classes: IssuerClasses, reserved: ReservedNames) -> None:
        rules = [RULES[one] for one in classes]
        self.usages = frozenset[str]().union(*(rule.usages for rule in rules))
        self._names = frozenset[str]().union(*(rule.names for rule in rules))
        self._log_on = any(rule.log_on for rule in rules)
        self._serves_radius = IssuerClass.RADIUS in classes
        self._radius_alone = classes == (IssuerClass.RADIUS,)
        self._reserved = reserved
        self._told = ", ".join(classes)

    def check(
        self, names: Iterable[x509.GeneralName], subject: x509.Name, usages: frozenset[str], *, sid: bool
    ) -> bool:
        """Whether it is a RADIUS server's certificate. Raises SignerRefused for what the classes do not allow."""
        for name in names:
            kind = kind_of(name)
            if kind not in self._names:
                raise SignerRefused(LIMIT_NAME, f"{kind} names are not for class {self._told}", kind=kind)
            if kind == "uri" and str(name.value).lower().startswith(_SID_URI):
                sid = True
        if sid and not self._log_on:
            raise SignerRefused(LIMIT_CLASS, f"a security identifier logs people on, class {self._told} does not")
        if EAP_OVER_LAN in usages:
            return True
        if SERVER_AUTH not in usages:
            return False
        if self._radius_alone:
            return True
        if not self._reserved or not any(self._reserved.covers(name) for name in server_names(names, subject)):
            return False
        if not self._serves_radius:
            raise SignerRefused(LIMIT_RESERVED_NAME)
        return True


def kind_of(name: x509.GeneralName) -> str:
    """The kind of a general name; for one that Troth does not know, its dotted type or its class."""
    kind = _KINDS.get(type(name))
    if kind is not None:
        return kind
    if isinstance(name, x509.OtherName):
        dotted = name.type_id.dotted_string
        return _OTHER_NAMES.get(dotted, dotted)
    return type(name).__name__


def server_names(names: Iterable[x509.GeneralName], subject: x509.Name) -> Iterator[str]:
    """What a client may compare with the server's name: DNS names, and common names (old supplicants do)."""
    for name in names:
        if isinstance(name, x509.DNSName):
            yield name.value
    for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield str(attribute.value)
