"""The to-be-signed bytes of an authority's certificate, from the plan and nothing else.

cryptography's builder makes them under a throw-away key; the one field that depends on who signs, the
AlgorithmIdentifier (RFC 5280, 4.1.2.3), is then set to the issuer's. So no key is needed to say what will be signed.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from troth.pki import der
from troth.pki.algorithms import PublicKey, algorithm_identifier, spki_of
from troth.pki.ceremony.errors import PLAN_REFUSED, PlanRefused
from troth.pki.ceremony.plan import CertificatePlan, NameConstraints, Subject, utc
from troth.pki.errors import NameRefused
from troth.pki.names import canonical_dns
from troth.pki.reading import value_of
from troth.pki.serial import SerialNumber
from troth.pki.template import subject_key_identifier
from troth.pki.usages import AUTHORITY_USAGES, named_usages


def subject_name(subject: Subject) -> x509.Name:
    """The Name of a plan's subject."""
    parts = (
        (NameOID.COUNTRY_NAME, subject.country),
        (NameOID.ORGANIZATION_NAME, subject.organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, subject.organizational_unit),
        (NameOID.COMMON_NAME, subject.common_name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value is not None])


def certificate_tbs(
    plan: CertificatePlan,
    *,
    subject: x509.Name,
    subject_key: PublicKey,
    subject_key_id: bytes | None,
    issuer: x509.Certificate | None,
    issuer_key: PublicKey,
    serial: SerialNumber,
) -> bytes:
    """DER TBSCertificate.

    Args:
        subject_key_id: of a certificate that is cross-certified; else made from the key (RFC 7093).
        issuer: None for a root, which signs itself.
        issuer_key: the key that will sign.
    """
    key_id = subject_key_id or subject_key_identifier(spki_of(subject_key))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(subject_key)
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(utc(plan.validity.begin))
        .not_valid_after(utc(plan.validity.end))
        .add_extension(x509.BasicConstraints(ca=True, path_length=plan.path_length), critical=True)
        .add_extension(named_usages(AUTHORITY_USAGES), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id), critical=False)
        # A self-signed certificate may do without (RFC 5280, 4.2.1.1); linters see that only under its signature.
        .add_extension(_authority_key(issuer, key_id), critical=False)
    )
    for value, critical in _extensions(plan):
        builder = builder.add_extension(value, critical=critical)
    unsigned = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return with_algorithm(unsigned.tbs_certificate_bytes, algorithm_identifier(issuer_key))


def with_algorithm(tbs: bytes, identifier: bytes) -> bytes:
    """``tbs`` with another signature algorithm in its third field."""
    reader = der.Reader(tbs).enter(der.SEQUENCE)
    version, serial = reader.whole(), reader.whole()
    reader.whole()
    rest = []
    while not reader.empty:
        rest.append(reader.whole())
    return der.sequence(version, serial, identifier, *rest)


def certificate_der(tbs: bytes, issuer_key: PublicKey, signature: bytes) -> bytes:
    """DER Certificate from its parts."""
    return der.sequence(tbs, algorithm_identifier(issuer_key), der.bits(signature))


def key_id_of(certificate: x509.Certificate) -> bytes | None:
    """A certificate's own subject key identifier."""
    found = value_of(certificate.extensions, x509.SubjectKeyIdentifier)
    return None if found is None else found.digest


def issuer_key_id(issuer: x509.Certificate) -> bytes:
    """What names the issuer's key in what it signs. Raises PlanRefused for an issuer without identifier."""
    found = key_id_of(issuer)
    if found is None:
        raise PlanRefused(PLAN_REFUSED, "the issuer's certificate has no subject key identifier")
    return found


def subtrees(names: tuple[str, ...]) -> list[x509.GeneralName]:
    """Subtrees of name constraints from their text. Raises PlanRefused."""
    found: list[x509.GeneralName] = []
    for text in names:
        kind, _, value = text.partition(":")
        try:
            if kind == "dns":
                found.append(x509.DNSName(canonical_dns(value, wildcard=False)))
            elif kind == "ip":
                found.append(x509.IPAddress(ipaddress.ip_network(value)))
            elif kind == "email":
                found.append(x509.RFC822Name(canonical_dns(value.removeprefix("."), wildcard=False)))
            elif kind == "uri":
                host = canonical_dns(value.removeprefix("."), wildcard=False)
                found.append(x509.UniformResourceIdentifier(f".{host}" if value.startswith(".") else host))
            else:
                raise PlanRefused(PLAN_REFUSED, f"name constraint {text[:80]!r}: dns:, ip:, email: or uri:")
        except (ValueError, NameRefused) as error:
            raise PlanRefused(PLAN_REFUSED, f"name constraint {text[:80]!r}: {error}") from error
    return found


def _authority_key(issuer: x509.Certificate | None, own: bytes) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(own if issuer is None else issuer_key_id(issuer), None, None)


def _extensions(plan: CertificatePlan) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if plan.name_constraints is not None:
        found.append((_name_constraints(plan.name_constraints), True))
    if plan.policies:
        policies = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in plan.policies]
        found.append((x509.CertificatePolicies(policies), False))
    if plan.extended_key_usages:
        found.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(o) for o in plan.extended_key_usages]), False))
    access = []
    for method, url in (
        (AuthorityInformationAccessOID.OCSP, plan.ocsp_url),
        (AuthorityInformationAccessOID.CA_ISSUERS, plan.ca_issuers_url),
    ):
        if url is not None:
            access.append(x509.AccessDescription(method, x509.UniformResourceIdentifier(url)))
    if access:
        found.append((x509.AuthorityInformationAccess(access), False))
    if plan.crl_url is not None:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(plan.crl_url)], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    return found


def _name_constraints(names: NameConstraints) -> x509.NameConstraints:
    permitted, excluded = subtrees(names.permitted), subtrees(names.excluded)
    if not permitted and not excluded:
        raise PlanRefused(PLAN_REFUSED, "name_constraints constrain nothing")
    return x509.NameConstraints(permitted or None, excluded or None)


def moment(value: datetime) -> str:
    """For people."""
    return f"{utc(value):%Y-%m-%d %H:%M:%S} UTC"
