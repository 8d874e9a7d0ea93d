"""What a newborn root signs, each thing linted before and compared after.

The order is the gate's (DESIGN, rule 1): the bytes are made under a throw-away key, linted, signed once with the
root's key, held against what was linted, and the signature is verified.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from troth.pki.algorithms import PrivateKey, PublicKey, spki_of
from troth.pki.crl_lint import CrlExpected, lint_crl
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key
from troth.pki.lint_full import Finding, lint_full
from troth.pki.serial import new_serial
from troth.pki.signer.errors import BIRTH_FAILED, BirthFailed
from troth.pki.template import subject_key_identifier
from troth.pki.usages import AUTHORITY_USAGES, named_usages

ROOT_YEARS, ISSUING_YEARS = 20, 5
_CRL_LIFE = timedelta(days=365)


def root_certificate(
    key: PrivateKey, installation: str, organisation: str, now: datetime, findings: list[str]
) -> x509.Certificate:
    """The self-signed certificate: 20 years, one authority below it."""
    subject = _name(f"{installation} Root CA R1", organisation)
    public_key = key.public_key()
    builder = _builder(subject, subject, public_key, now, ROOT_YEARS, path_length=1)
    # RFC 5280, 4.2.1.1 lets a self-signed certificate do without; linters see that only under its own signature.
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(_key_id(public_key), None, None), critical=False)
    return _sign(builder, key, None, findings)


def issuing_certificate(
    root_key: PrivateKey,
    root: x509.Certificate,
    public_key: PublicKey,
    common_name: str,
    now: datetime,
    urls: tuple[str, str],
    findings: list[str],
) -> x509.Certificate:
    """An issuing authority's certificate: 5 years, none below it; ``urls`` are the root's certificate and CRL."""
    organisation = str(root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)
    subject = _name(common_name, organisation)
    issuers = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(urls[0]))
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(urls[1])], None, None, None)
    builder = (
        _builder(subject, root.subject, public_key, now, ISSUING_YEARS, path_length=0)
        .add_extension(_authority_key(root), critical=False)
        .add_extension(x509.AuthorityInformationAccess([issuers]), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
    )
    return _sign(builder, root_key, root, findings)


def root_crl(root_key: PrivateKey, root: x509.Certificate, now: datetime) -> x509.CertificateRevocationList:
    """The root's first CRL: number 1, empty, for a year."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.subject)
        .last_update(now)
        .next_update(now + _CRL_LIFE)
        .add_extension(_authority_key(root), critical=False)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    digest = hashes.SHA384()
    linted = builder.sign(_throw_away(), digest)
    lint_crl(linted.public_bytes(Encoding.DER), CrlExpected(delta=False, point=None))
    signed = builder.sign(root_key, digest)
    if signed.tbs_certlist_bytes != linted.tbs_certlist_bytes or not signed.is_signature_valid(root_key.public_key()):
        raise BirthFailed(BIRTH_FAILED, "the signed CRL is not the one that was linted")
    return signed


def _sign(
    builder: x509.CertificateBuilder, key: PrivateKey, issuer: x509.Certificate | None, findings: list[str]
) -> x509.Certificate:
    linted = builder.sign(_throw_away(), hashes.SHA384())
    subject = linted.subject.rfc4514_string()
    findings += [_told(subject, finding) for finding in lint_full(linted.public_bytes(Encoding.DER))]
    signed = builder.sign(key, hashes.SHA384())
    if signed.tbs_certificate_bytes != linted.tbs_certificate_bytes:
        raise BirthFailed(BIRTH_FAILED, "the signed certificate is not the one that was linted")
    try:
        signed.verify_directly_issued_by(issuer or signed)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise BirthFailed(BIRTH_FAILED, "the signature does not verify") from error
    return signed


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, now: datetime, years: int, *, path_length: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(new_serial(now), "big"))
        .not_valid_before(now)
        # The last second is inclusive (RFC 5280, 4.1.2.5).
        .not_valid_after(_years_after(now, years) - timedelta(seconds=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(named_usages(AUTHORITY_USAGES), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(_key_id(public_key)), critical=False)
    )


def _name(common_name: str, organisation: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _key_id(public_key: PublicKey) -> bytes:
    return subject_key_identifier(spki_of(public_key))


def _authority_key(root: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _throw_away() -> PrivateKey:
    return generate_private_key(KeyAlgorithm.P384)


def _years_after(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year + years, day=28)


def _told(subject: str, finding: Finding) -> str:
    return f"{subject}: {finding.severity} {finding.code}"
