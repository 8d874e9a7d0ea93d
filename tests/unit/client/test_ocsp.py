"""The OCSP client: it believes the issuer and the responders that the issuer has certified, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from troth.client.ocsp import OcspError, read_answer, responder_url

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: Key

    def certify(self, key: Key, name: str, *extensions: x509.ExtensionType) -> x509.Certificate:
        return made(key, name, self.certificate.subject, self.key, *extensions)


def made(
    key: Key, name: str, issuer: x509.Name | None, issuer_key: Key, *extensions: x509.ExtensionType
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture
def authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(made(key, "An Authority", None, key), key)


def answer(
    leaf: x509.Certificate, issuer: x509.Certificate, key: Key, signer: x509.Certificate, *, held: bool = False
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf, issuer=issuer, algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.REVOKED if held else ocsp.OCSPCertStatus.GOOD,
        this_update=NOW, next_update=NOW + timedelta(minutes=1),
        revocation_time=NOW if held else None,
        revocation_reason=x509.ReasonFlags.certificate_hold if held else None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, signer).certificates([signer])  # fmt: skip
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
def leaf(authority: Authority) -> x509.Certificate:
    return authority.certify(ec.generate_private_key(ec.SECP256R1()), "leaf")


def test_an_answer_of_the_issuer_itself_is_read(authority: Authority, leaf: x509.Certificate) -> None:
    read = read_answer(
        answer(leaf, authority.certificate, authority.key, authority.certificate), leaf, authority.certificate
    )
    assert str(read) == "good"
    assert read.this_update == NOW


def test_an_answer_of_a_certified_responder_is_read_with_its_reason(
    authority: Authority, leaf: x509.Certificate
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    responder = authority.certify(key, "responder", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]))
    read = read_answer(answer(leaf, authority.certificate, key, responder, held=True), leaf, authority.certificate)
    assert str(read) == "revoked (certificateHold)"
    assert read.revoked_at == NOW


def stranger(authority: Authority) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, made(
        key, "responder", authority.certificate.subject, key, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    )


def ordinary_leaf(authority: Authority) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, authority.certify(key, "leaf", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))


@pytest.mark.parametrize("signer", [stranger, ordinary_leaf])
def test_an_answer_signed_by_anybody_else_is_refused(
    authority: Authority, leaf: x509.Certificate, signer: Callable[[Authority], tuple[Key, x509.Certificate]]
) -> None:
    key, certificate = signer(authority)
    with pytest.raises(OcspError, match="not signed by the issuer"):
        read_answer(answer(leaf, authority.certificate, key, certificate), leaf, authority.certificate)


def test_an_answer_about_another_certificate_is_refused(authority: Authority, leaf: x509.Certificate) -> None:
    other = authority.certify(ec.generate_private_key(ec.SECP256R1()), "other")
    der = answer(other, authority.certificate, authority.key, authority.certificate)
    with pytest.raises(OcspError, match="another certificate"):
        read_answer(der, leaf, authority.certificate)


@pytest.mark.parametrize("status", [ocsp.OCSPResponseStatus.TRY_LATER, ocsp.OCSPResponseStatus.UNAUTHORIZED])
def test_an_unsigned_answer_says_nothing_about_the_certificate(
    authority: Authority, leaf: x509.Certificate, status: ocsp.OCSPResponseStatus
) -> None:
    der = ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    with pytest.raises(OcspError, match="the responder says"):
        read_answer(der, leaf, authority.certificate)


def test_what_is_no_answer_is_refused(authority: Authority, leaf: x509.Certificate) -> None:
    with pytest.raises(OcspError, match="no OCSP response"):
        read_answer(b"\x30\x03\x02\x01", leaf, authority.certificate)


def test_a_certificate_that_names_no_responder_is_said_to(leaf: x509.Certificate) -> None:
    with pytest.raises(OcspError, match="names no OCSP responder"):
        responder_url(leaf)
