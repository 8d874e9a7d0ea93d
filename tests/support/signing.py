"""An authority without the rest of Troth: to-be-signed bytes for the signer's tests, good ones and bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Issuing CA")])
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
_THROW_AWAY = ec.generate_private_key(ec.SECP256R1())
#: Stands for "as usual" where None means "leave out".
USUAL = object()


def usage(*, sign_certificates: bool = False, sign_crls: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign_certificates, crl_sign=sign_crls, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


END_ENTITY = x509.BasicConstraints(ca=False, path_length=None)
LEAF_USAGE = usage()
LEAF_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
LEAF_NAMES = (x509.DNSName("leaf.example"),)
SHA256 = hashes.SHA256()


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_identifier(spki: bytes) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(load_der_public_key(spki)).digest  # type: ignore[arg-type]


def authority_certificate(
    spki: bytes,
    now: datetime,
    *,
    path_length: int | None = 0,
    ca: bool = True,
    sign_crls: bool = True,
    days: int = 365,
    constraints: x509.NameConstraints | None = None,
    identifier: bool = True,
) -> bytes:
    """A CA certificate for ``spki``, by a root that is made up on the spot (the signer does not look at it)."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Root CA")]))
        .public_key(load_der_public_key(spki))  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
        .add_extension(usage(sign_certificates=ca, sign_crls=sign_crls), critical=True)
    )
    if identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(key_identifier(spki)), critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(_THROW_AWAY, hashes.SHA256()).public_bytes(Encoding.DER)


def leaf_tbs(
    issuer_spki: bytes,
    now: datetime,
    *,
    spki: bytes | None = None,
    issuer: x509.Name = NAME,
    serial: int | None = None,
    begins: timedelta = timedelta(minutes=-5),
    lasts: timedelta = timedelta(days=7),
    constraints: x509.BasicConstraints | None = END_ENTITY,
    key_usage: x509.KeyUsage | None = LEAF_USAGE,
    usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
    authority: object = USUAL,
    subject: x509.Name = LEAF_NAME,
    names: Sequence[x509.GeneralName] = LEAF_NAMES,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    digest: hashes.SHA256 | hashes.SHA384 = SHA256,
) -> bytes:
    """A TBSCertificate that is within every limit, but for what the arguments change."""
    if authority is USUAL:
        authority = x509.AuthorityKeyIdentifier(key_identifier(issuer_spki), None, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(load_der_public_key(spki or spki_of(LEAF_KEY)))  # type: ignore[arg-type]
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + begins + lasts - timedelta(seconds=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if isinstance(authority, x509.AuthorityKeyIdentifier):
        builder = builder.add_extension(authority, critical=False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(_THROW_AWAY, digest).tbs_certificate_bytes


def crl_tbs(
    issuer_spki: bytes,
    now: datetime,
    *,
    number: int | None = 1,
    issuer: x509.Name = NAME,
    this_update: timedelta = timedelta(0),
    lasts: timedelta = timedelta(days=1),
    authority: bool = True,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    revoked: int = 0,
    digest: hashes.SHA256 | hashes.SHA384 = SHA256,
) -> bytes:
    """A TBSCertList that is within every limit, but for what the arguments change."""
    entries = [
        x509.RevokedCertificateBuilder().serial_number(n + 1).revocation_date(now - timedelta(hours=1)).build()
        for n in range(revoked)
    ]
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=entries)
        .issuer_name(issuer)
        .last_update(now + this_update)
        .next_update(now + this_update + lasts)
    )
    if authority:
        identifier = x509.AuthorityKeyIdentifier(key_identifier(issuer_spki), None, None)
        builder = builder.add_extension(identifier, critical=False)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(_THROW_AWAY, digest).tbs_certlist_bytes
