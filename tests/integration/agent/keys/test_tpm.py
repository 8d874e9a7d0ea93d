"""Keys in a TPM: made, signed with, attested, and of no use to anybody who copies the file."""

from __future__ import annotations

import copy
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.errors import ATTESTATION_MISSING, KEY_MISSING, KEY_STAYS, KEY_STORE, KeyTrouble
from troth.agent.keys.model import AttestingKey, KeyPlace, KeyType
from troth.agent.keys.tpm.device import Tpm
from troth.agent.keys.tpm.keys import AttestationIdentity, TpmKey, TpmKeys
from troth.agent.keys.tpm.signing import TpmEcKey, TpmRsaKey
from troth.client.csr import certificate_request


@pytest.fixture
def place(software_tpm: SoftwareTpm, tmp_path: Path) -> TpmKeys:
    return TpmKeys(tmp_path / "keys", tpm_of(software_tpm))


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_a_request_is_signed_in_the_tpm(place: TpmKeys, kind: KeyType) -> None:
    keys: KeyPlace = place
    made = keys.create("web", kind)
    assert isinstance(made, AttestingKey)
    found = keys.load("web")
    request = x509.load_der_x509_csr(certificate_request(found.private_key(), dns=["laptop-17.test"]))
    assert request.is_signature_valid
    assert request.public_key() == made.public_key == found.public_key


def test_digests_and_both_paddings_are_signed(place: TpmKeys) -> None:
    private, data = place.create("rsa", "rsa2048").private_key(), b"what is signed"
    assert isinstance(private, TpmRsaKey)
    private.public_key().verify(
        private.sign(data, padding.PKCS1v15(), hashes.SHA384()), data, padding.PKCS1v15(), hashes.SHA384()
    )
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    digest = hashlib.sha256(data).digest()
    signature = private.sign(digest, pss, utils.Prehashed(hashes.SHA256()))
    private.public_key().verify(signature, data, pss, hashes.SHA256())
    with pytest.raises(KeyTrouble, match="PKCS #1"):
        private.sign(data, object(), hashes.SHA256())
    with pytest.raises(KeyTrouble, match="SHA-256"):
        private.sign(data, padding.PKCS1v15(), hashes.SHA224())


def test_the_key_itself_is_not_to_be_had(place: TpmKeys) -> None:
    key = place.create("web", "p256")
    private = key.private_key()
    assert isinstance(private, TpmEcKey)
    assert (private.curve.name, private.key_size) == ("secp256r1", 256)
    assert copy.deepcopy(private) is copy.copy(private) is private
    for ask in (
        private.private_numbers,
        lambda: private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda: private.exchange(ec.ECDH(), private.public_key()),
    ):
        with pytest.raises(KeyTrouble) as refused:
            ask()
        assert refused.value.reason is KEY_STAYS
    rsa_key = TpmRsaKey(place.tpm, key.pem, rsa.generate_private_key(65537, 2048).public_key())
    for ask in (
        rsa_key.private_numbers,
        lambda: rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda: rsa_key.decrypt(b"", padding.PKCS1v15()),
    ):
        with pytest.raises(KeyTrouble):
            ask()
    assert copy.deepcopy(rsa_key) is copy.copy(rsa_key) is rsa_key
    assert not key.access().exportable
    assert key.access().pem.startswith(b"-----BEGIN TSS2 PRIVATE KEY-----")
    (mode,) = {path.stat().st_mode & 0o777 for path in (place._directory).glob("*.tpm")}
    assert mode == 0o600


def test_a_key_that_is_gone_or_garbled_is_told_so(place: TpmKeys) -> None:
    place.create("web", "p256")
    place.remove("web")
    with pytest.raises(KeyTrouble) as missing:
        place.load("web")
    assert missing.value.reason is KEY_MISSING
    (place._directory / "web.tpm").write_bytes(b"nonsense")
    with pytest.raises(KeyTrouble) as garbled:
        place.load("web")
    assert garbled.value.reason is KEY_STORE


def test_a_tpm_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(KeyTrouble) as refused:
        TpmKeys(tmp_path, Tpm("device:/dev/there-is-no-tpm")).create("web", "p256")
    assert refused.value.reason is KEY_STORE


def test_without_a_certified_attestation_key_nothing_is_attested(place: TpmKeys) -> None:
    key = place.create("web", "p256")
    with pytest.raises(KeyTrouble) as refused:
        key.attest("token.thumbprint")
    assert refused.value.reason is ATTESTATION_MISSING
    place.keep_attestation(place.tpm.make_attestation_key().pem, [])
    with pytest.raises(KeyTrouble, match="no certificate yet"):
        key.attest("token.thumbprint")


def test_keys_of_a_tpm_that_was_cleared_are_gone_and_can_be_made_anew(place: TpmKeys) -> None:
    """A TPM whose seed has changed refuses what it wrapped before; so does one that is handed a damaged file."""
    web, other = place.create("web", "p256"), place.create("other", "p256")
    mine, theirs = web.pem.decode().splitlines(), other.pem.decode().splitlines()
    strange = "\n".join([*mine[:-3], *theirs[-3:-1], mine[-1], ""]).encode()
    key = TpmKey("web", place, strange, web.public_key)
    with pytest.raises(KeyTrouble) as gone:
        key.private_key().sign(b"data", ec.ECDSA(hashes.SHA256()))
    assert gone.value.reason is KEY_MISSING
    birth, now = place.tpm.make_attestation_key(), datetime.now(UTC)
    name = x509.Name([])
    certificate = x509.CertificateBuilder(name, name, web.public_key, 1, now, now + timedelta(days=90)).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    place.keep_attestation(birth.pem, [certificate])
    with pytest.raises(KeyTrouble):
        key.attest("token.thumbprint")
    with pytest.raises(KeyTrouble) as forgotten:
        place.attestation()
    assert forgotten.value.reason is ATTESTATION_MISSING
    place.keep_attestation(birth.pem, [certificate])
    assert web.attest("token.thumbprint").format == "tpm"
    web.disbelieved()
    with pytest.raises(KeyTrouble, match="no file"):
        place.attestation()


def test_an_attestation_identity_is_renewed_in_its_last_third() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime(2026, 6, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, now, now + timedelta(days=90))
    ).sign(key, hashes.SHA256())
    identity = AttestationIdentity(b"", (certificate,))
    assert identity.lasts(now + timedelta(days=59))
    assert not identity.lasts(now + timedelta(days=61))
    assert not AttestationIdentity(b"", ()).lasts(now)
