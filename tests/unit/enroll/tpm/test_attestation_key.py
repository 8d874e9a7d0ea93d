"""What an attestation key must be, one thing changed at a time."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.support import attesting
from troth.enroll.tpm.attestation_key import check_creation, read_attestation_key
from troth.enroll.tpm.errors import TpmRefused
from troth.enroll.tpm.signature import verify_signature
from troth.pki.errors import KeyRefused
from troth.tpm.structures import Algorithm, Attributes, EcdsaSignature, RsaSignature
from troth.tpm.wire import tpm2b

GOOD = (
    Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN | Attributes.USER_WITH_AUTH
    | Attributes.RESTRICTED | Attributes.SIGN
)  # fmt: skip
KEY = ec.derive_private_key(7919, ec.SECP256R1())
CREATION = bytes(4) + tpm2b(b"") + b"\x01\x00\x0b" + tpm2b(bytes(34)) + tpm2b(bytes(34)) + tpm2b(b"")


def public(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY,
    attributes: int = GOOD,
    *,
    scheme: bytes = b"\x00\x18\x00\x0b",
    name_hash: bytes = b"\x00\x0b",
) -> bytes:
    """TPMT_PUBLIC."""
    head = name_hash + int(attributes).to_bytes(4) + tpm2b(b"") + b"\x00\x10"
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.public_key().public_numbers().n
        return b"\x00\x01" + head + scheme + key.key_size.to_bytes(2) + bytes(4) + tpm2b(n.to_bytes(key.key_size // 8))
    numbers = key.public_key().public_numbers()
    return (
        b"\x00\x23"
        + head
        + scheme
        + b"\x00\x03\x00\x10"
        + tpm2b(numbers.x.to_bytes(32))
        + tpm2b(numbers.y.to_bytes(32))
    )


def attestation(name: bytes, creation_hash: bytes) -> bytes:
    """TPMS_ATTEST of a creation."""
    return (
        b"\xffTCG\x80\x1a" + tpm2b(bytes(34)) + tpm2b(b"") + bytes(16) + b"\x01" + bytes(8) + tpm2b(name)
        + tpm2b(creation_hash)
    )  # fmt: skip


def test_a_key_with_all_of_it_is_taken_and_its_creation_shown() -> None:
    key = read_attestation_key(public())
    attest = attestation(key.name, hashlib.sha256(CREATION).digest())
    check_creation(key, CREATION, attest, attesting.wrapped_signature(KEY, attest))


@pytest.mark.parametrize(
    "attribute",
    [
        Attributes.FIXED_TPM, Attributes.FIXED_PARENT, Attributes.SENSITIVE_DATA_ORIGIN, Attributes.RESTRICTED,
        Attributes.SIGN,
    ],
)  # fmt: skip
def test_each_attribute_is_needed(attribute: Attributes) -> None:
    with pytest.raises(TpmRefused, match=r"; without [a-z]"):
        read_attestation_key(public(attributes=GOOD & ~attribute))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attributes": GOOD | Attributes.DECRYPT}, "decrypts as well"),
        ({"name_hash": b"\x00\x04"}, "a Name by SHA-256"),
        ({"scheme": b"\x00\x10"}, "got NULL"),
        ({"scheme": b"\x00\x18\x00\x04"}, "got ECDSA with SHA1"),
        ({"scheme": b"\x00\x1a\x00\x0b\x00\x00"}, "got ECDAA"),
    ],
    ids=["decrypt", "sha1-name", "no-scheme", "sha1", "ecdaa"],
)
def test_a_key_of_another_kind_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(TpmRefused, match=says):
        read_attestation_key(public(**changes))  # type: ignore[arg-type]


def test_a_weak_key_is_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- that it is weak is the point
    with pytest.raises(KeyRefused):
        read_attestation_key(public(weak, scheme=b"\x00\x14\x00\x0b"))


def test_creation_data_and_name_must_be_those_attested() -> None:
    key = read_attestation_key(public())
    good = hashlib.sha256(CREATION).digest()
    for attest, says in (
        (attestation(key.name[:-1] + b"\0", good), "the Name"),
        (attestation(key.name, bytes(32)), "creation data"),
    ):
        with pytest.raises(TpmRefused, match=says):
            check_creation(key, CREATION, attest, attesting.wrapped_signature(KEY, attest))


@pytest.mark.parametrize("scheme", [Algorithm.RSASSA, Algorithm.RSAPSS])
@pytest.mark.parametrize("hashed", [Algorithm.SHA256, Algorithm.SHA384])
def test_rsa_signatures_verify_in_both_schemes(scheme: Algorithm, hashed: Algorithm) -> None:
    key, data = rsa.generate_private_key(65537, 2048), b"attested"
    algorithm = hashes.SHA256() if hashed is Algorithm.SHA256 else hashes.SHA384()
    pad = padding.PKCS1v15() if scheme is Algorithm.RSASSA else padding.PSS(padding.MGF1(algorithm), 20)
    signature = RsaSignature(scheme, hashed, key.sign(data, pad, algorithm))
    verify_signature(signature, key.public_key(), data)
    with pytest.raises(TpmRefused, match="does not verify"):
        verify_signature(signature, key.public_key(), data + b"!")
    with pytest.raises(TpmRefused, match="another kind"):
        verify_signature(signature, KEY.public_key(), data)


def test_sha1_and_numbers_out_of_range_never_verify() -> None:
    with pytest.raises(TpmRefused, match="got SHA1"):
        verify_signature(EcdsaSignature(Algorithm.SHA1, 1, 1), KEY.public_key(), b"")
    for r, s in ((0, 0), (1 << 4000, 1), (1, 1)):
        with pytest.raises(TpmRefused, match="does not verify"):
            verify_signature(EcdsaSignature(Algorithm.SHA256, r, s), KEY.public_key(), b"")
