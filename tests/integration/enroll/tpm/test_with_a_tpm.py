"""The attestation CA's parts against a real TPM in software: what it checks, and what it encrypts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.errors import KeyTrouble
from troth.enroll.tpm.attestation_key import check_creation, read_attestation_key
from troth.enroll.tpm.credential import make_credential
from troth.enroll.tpm.endorsement import EK_PURPOSE, endorse, read_certificates, read_endorsement_key
from troth.enroll.tpm.errors import TpmRefused
from troth.enroll.tpm.signature import verify_signature
from troth.pki.anchor_store import TrustAnchor
from troth.tpm.structures import Certified, read_attest, read_public, read_signature

SECRET = bytes(range(32))


def anchor(certificate: bytes) -> TrustAnchor:
    """A root that is believed about endorsement keys."""
    now = datetime.now(UTC)
    return TrustAnchor(hashlib.sha256(certificate).digest(), "tests", certificate, (EK_PURPOSE,), now, now, "test")


@pytest.mark.parametrize("template", ["EK-RSA2048", "EK-ECC256", "EK-HIGH-ECC384"])
def test_a_credential_opens_in_its_tpm_alone_and_for_its_key_alone(software_tpm: SoftwareTpm, template: str) -> None:
    tpm = tpm_of(software_tpm)
    birth = tpm.make_attestation_key()
    key = read_attestation_key(birth.public)
    check_creation(key, birth.creation_data, birth.attestation, birth.signature)
    spki = load_pem_public_key(tpm.public_endorsement(template)).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    endorsement = read_endorsement_key(spki)

    made = make_credential(endorsement.key, key.name, SECRET)
    assert tpm.activate(template, birth.pem, made.identity, made.secret) == SECRET

    for other in (
        make_credential(endorsement.key, key.name[:-1] + b"\0", SECRET),
        replace(made, secret=made.secret[:-1] + b"\0"),
    ):
        with pytest.raises(KeyTrouble):
            tpm.activate(template, birth.pem, other.identity, other.secret)


def test_the_tpms_own_certificate_tells_its_make(software_tpm: SoftwareTpm) -> None:
    now = datetime.now(UTC)
    for certificate in (software_tpm.ek_certificate, software_tpm.ecc_ek_certificate):
        chain = read_certificates([certificate + bytes(100)])
        found = endorse(chain, [anchor(software_tpm.ek_root)], now)
        assert found.certified
        assert found.make is not None
        assert (found.make.manufacturer, found.make.model) == ("id:00001014", "swtpm")
        with pytest.raises(TpmRefused, match="no root"):
            endorse(chain, [], now)
        with pytest.raises(TpmRefused):
            endorse(chain, [replace(anchor(software_tpm.ek_root), purposes=("serverAuth",))], now)
        with pytest.raises(TpmRefused, match="valid at"):  # a software TPM outlives everything
            endorse(chain, [anchor(software_tpm.ek_root)], datetime(2000, 1, 1, tzinfo=UTC))


def test_an_attestation_key_certifies_another_key_of_its_tpm(software_tpm: SoftwareTpm) -> None:
    tpm = tpm_of(software_tpm)
    birth, pem = tpm.make_attestation_key(), tpm.make_key("p256")
    certification = tpm.certify(pem, birth.pem, hashlib.sha256(b"token.thumbprint").digest())
    attest = read_attest(certification.attestation)
    assert isinstance(attest.attested, Certified)
    assert attest.attested.name == read_public(certification.public).name
    assert attest.extra == hashlib.sha256(b"token.thumbprint").digest()
    verify_signature(
        read_signature(certification.signature), read_attestation_key(birth.public).key, certification.attestation
    )
    # A certification is no attestation of a creation.
    with pytest.raises(TpmRefused, match="another kind"):
        check_creation(
            read_attestation_key(birth.public), birth.creation_data, certification.attestation, certification.signature
        )


def test_a_key_that_signs_whatever_it_is_given_is_no_attestation_key(software_tpm: SoftwareTpm) -> None:
    from troth.agent.keys.tpm.device import public_area

    public, _ = public_area(tpm_of(software_tpm).make_key("p256"))
    with pytest.raises(TpmRefused, match="without restricted"):
        read_attestation_key(public)


def test_another_keys_creation_is_refused(software_tpm: SoftwareTpm) -> None:
    tpm = tpm_of(software_tpm)
    mine, other = tpm.make_attestation_key(), tpm.make_attestation_key()
    key = read_attestation_key(mine.public)
    for wrong, says in (
        ((mine.creation_data, other.attestation, other.signature), "the Name"),
        ((other.creation_data + b"", mine.attestation, other.signature), "does not verify|creation data"),
        ((mine.creation_data[:-2] + b"\0\1x", mine.attestation, mine.signature), "creation data"),
        ((mine.creation_data, mine.attestation, other.signature), "does not verify"),
    ):
        with pytest.raises(TpmRefused, match=says):
            check_creation(key, *wrong)


def test_what_the_root_did_not_sign_is_refused(software_tpm: SoftwareTpm) -> None:
    stranger = x509.load_der_x509_certificate(software_tpm.ek_root)
    with pytest.raises(TpmRefused):
        endorse([stranger], [anchor(software_tpm.ek_root)], datetime.now(UTC))
    with pytest.raises(TpmRefused, match="cannot be read"):
        read_certificates([b"\x30\x03\x02\x01\x01"])
    with pytest.raises(TpmRefused, match="at most"):
        read_certificates([b""] * 7)
