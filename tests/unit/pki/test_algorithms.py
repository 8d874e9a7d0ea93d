"""Every kind of key that an authority may have: held, signing, and read back by cryptography as what it claims."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.pki.forge import NOW, URLS, Forge, ca_certificate, spki
from troth.client.ocsp import OcspError, read_answer
from troth.kit.ids import new_id
from troth.pki import algorithms, ocsp
from troth.pki.crl_der import crl_der, crl_tbs
from troth.pki.csr import parse_csr
from troth.pki.keycheck import KINDS, check_key
from troth.pki.keys.algorithm import (
    KeyAlgorithm,
    algorithm_of,
    from_pkcs8,
    generate_private_key,
    public_algorithm,
    signing_function,
    to_pkcs8,
)
from troth.pki.lint import Expected, lint
from troth.pki.lint_full import sample_spki
from troth.pki.profile import shipped_profiles
from troth.pki.serial import new_serial
from troth.pki.template import Template, compile_template

FORGE = Forge.make()
KEYS = {algorithm: generate_private_key(algorithm) for algorithm in KeyAlgorithm}
AUTHORITIES = {algorithm: ca_certificate(key, f"Issuing {algorithm}") for algorithm, key in KEYS.items()}


def _template(algorithm: KeyAlgorithm, profile: str = "tls-server") -> Template:
    any_key = msgspec.structs.replace(FORGE.profiles[profile], keys=KINDS)
    return compile_template(any_key, version=1, authority="issuing", issuer=AUTHORITIES[algorithm], urls=URLS)


def _issue(algorithm: KeyAlgorithm, subject_spki: bytes, profile: str = "tls-server") -> x509.Certificate:
    """What the gate does, in memory: shape, lint, redeem, sign, verify."""
    template = _template(algorithm, profile)
    begin, end = template.validity(NOW)
    serial, reservation = new_serial(NOW), new_id()
    names = () if profile == "ocsp-responder" else (("dns", "a.example"),)
    common_name = None if names else "OCSP"
    tbs = template.tbs(
        serial=serial, spki=subject_spki, names=names, common_name=common_name, not_before=begin, not_after=end
    )
    expected = Expected(serial, subject_spki, names, common_name, begin, end, NOW)
    lint(tbs, template, expected, reservation=reservation).redeem("issuing", reservation, tbs)
    signature = signing_function(KEYS[algorithm])(tbs)
    assert algorithms.verifies(template.issuer_key, signature, tbs)
    return x509.load_der_x509_certificate(template.certificate(tbs, signature))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_leaf_under_every_kind_of_authority_verifies(algorithm: KeyAlgorithm) -> None:
    leaf = _issue(algorithm, spki(FORGE.keys["p256"]))
    leaf.verify_directly_issued_by(AUTHORITIES[algorithm])


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_crl_of_every_kind_of_authority_verifies(algorithm: KeyAlgorithm) -> None:
    issuer, key = AUTHORITIES[algorithm], KEYS[algorithm]
    tbs = crl_tbs(
        issuer_name=issuer.subject.public_bytes(),
        issuer_key=key.public_key(),
        issuer_key_id=b"k" * 20,
        number=7,
        this_update=NOW,
        next_update=NOW + timedelta(days=1),
        entries=b"",
    )
    crl = x509.load_der_x509_crl(crl_der(tbs, key.public_key(), algorithms.sign_with(key, tbs)))
    assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA4096, KeyAlgorithm.ED25519, KeyAlgorithm.MLDSA65])
def test_an_ocsp_answer_by_a_responder_of_the_kind_is_accepted(algorithm: KeyAlgorithm) -> None:
    issuer, key = AUTHORITIES[algorithm], KEYS[KeyAlgorithm.MLDSA44 if "mldsa" in algorithm else algorithm]
    leaf = _issue(algorithm, spki(FORGE.keys["p256"]))
    responder = _issue(algorithm, spki(key), "ocsp-responder") if "mldsa" in algorithm else issuer
    writer = ocsp.ResponseWriter(responder.public_bytes(Encoding.DER), lambda data: algorithms.sign_with(key, data))
    asked = ocsp.build_request(leaf.serial_number.to_bytes(16, "big"), issuer, nonce=b"n" * 16)
    request = ocsp.parse_request(asked)
    answer = ocsp.answer(writer, request, ocsp.IssuerIds(issuer), {}, now=NOW, next_update=NOW + timedelta(hours=1))
    assert read_answer(answer, leaf, issuer).status == "unknown"
    with pytest.raises(OcspError, match="not signed"):
        read_answer(answer.replace(b"n" * 16, b"m" * 16), leaf, issuer)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_key_is_known_by_either_half_and_survives_pkcs8(algorithm: KeyAlgorithm) -> None:
    key = KEYS[algorithm]
    assert algorithm_of(key) is public_algorithm(key.public_key()) is algorithm
    assert algorithm_of(from_pkcs8(to_pkcs8(key))) is algorithm
    assert algorithms.algorithm_identifier(key.public_key()) == algorithm.signature_algorithm


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_dummy_signature_has_the_shape_of_a_real_one(algorithm: KeyAlgorithm) -> None:
    real, dummy = algorithms.sign_with(KEYS[algorithm], b"m"), algorithms.dummy_signature(KEYS[algorithm].public_key())
    assert len(real) <= algorithm.signature_size
    if algorithm in (KeyAlgorithm.P256, KeyAlgorithm.P384):
        assert dummy[0] == real[0] == 0x30
    else:
        assert len(dummy) == len(real) == algorithm.signature_size


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_another_message_does_not_verify(algorithm: KeyAlgorithm) -> None:
    signature = algorithms.sign_with(KEYS[algorithm], b"message")
    with pytest.raises(InvalidSignature):
        algorithms.verify(KEYS[algorithm].public_key(), signature, b"Message")


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1()), "no"])
def test_kinds_for_leaves_alone_are_not_held(key: object) -> None:
    with pytest.raises(ValueError, match="not held"):
        algorithm_of(key)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_leaf_key_is_accepted_under_its_name(kind: str) -> None:
    assert check_key(algorithms.load_public(sample_spki(kind))).kind == kind


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_request_signed_with_the_kind_is_read(algorithm: KeyAlgorithm) -> None:
    key = KEYS[algorithm]
    digest = algorithms.builder_digest(key.public_key())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    read = parse_csr(csr.public_bytes(Encoding.DER))
    assert read.key == check_key(key.public_key())
    assert read.key.kind == algorithm


def test_the_shipped_profiles_name_known_kinds_only() -> None:
    assert shipped_profiles()
    assert {kind for profile in FORGE.profiles.values() for kind in profile.keys} <= set(KINDS)
