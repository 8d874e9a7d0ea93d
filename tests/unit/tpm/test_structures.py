"""A TPM's structures as real TPMs encode them, and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from troth.tpm import structures
from troth.tpm.errors import TpmMalformed
from troth.tpm.structures import Algorithm, Attributes, Certified, EccUnique, RsaUnique
from troth.tpm.wire import MAX_STRUCTURE, tpm2b


class Vector(TypedDict):
    pubArea: str
    certInfo: str
    sig: str


VECTORS: dict[str, Vector] = json.loads(Path(__file__).parents[2].joinpath("vectors/tpm/structures.json").read_text())
SWTPM = VECTORS["swtpm"]
PUB, CERT, SIG = (bytes.fromhex(one) for one in (SWTPM["pubArea"], SWTPM["certInfo"], SWTPM["sig"]))


@pytest.mark.parametrize("name", VECTORS)
def test_a_real_tpms_certification_names_the_key_it_certifies(name: str) -> None:
    public = structures.read_public(bytes.fromhex(VECTORS[name]["pubArea"]))
    attest = structures.read_attest(bytes.fromhex(VECTORS[name]["certInfo"]))
    assert isinstance(attest.attested, Certified)
    assert attest.attested.name == public.name
    assert public.has(Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN)
    assert public.key().key_size in {256, 2048}


def test_an_exponent_of_zero_is_65537() -> None:
    unique = structures.read_public(bytes.fromhex(VECTORS["dell_xps_13"]["pubArea"])).unique
    assert isinstance(unique, RsaUnique)
    assert unique.exponent == 65537


def test_coordinates_may_be_longer_or_shorter_than_the_curve() -> None:
    """Windows pads them (wax #52), others drop leading zeros: they are numbers."""
    public = structures.read_public(PUB)
    assert isinstance(public.unique, EccUnique)
    head = PUB[: -2 * (2 + 32)]
    x, y = (number.to_bytes(48) for number in (public.unique.x, public.unique.y))
    assert structures.read_public(head + tpm2b(x) + tpm2b(y)).unique == public.unique
    tiny = structures.read_public(head + tpm2b(b"\1") + tpm2b(b"\2"))
    with pytest.raises(TpmMalformed, match="no public key"):
        tiny.key()


def test_clock_firmware_and_extra_data_are_told() -> None:
    attest = structures.read_attest(CERT)
    assert len(attest.extra) == 32
    assert attest.firmware == 0xD378DFE7B56D267E
    assert attest.clock == structures.Clock(571150, 2488819800, 1668079247, safe=True)


def test_a_signature_in_the_tpms_own_form_is_read() -> None:
    signature = structures.read_signature(SIG)
    assert isinstance(signature, structures.EcdsaSignature)
    assert signature.hash is Algorithm.SHA256
    wrapped = b"\x00\x14\x00\x0b" + tpm2b(b"\x05" * 256)
    assert structures.read_signature(wrapped) == structures.RsaSignature(
        Algorithm.RSASSA, Algorithm.SHA256, b"\x05" * 256
    )
    pss = structures.read_signature(b"\x00\x16\x00\x0b" + tpm2b(b"\x05" * 256))
    assert isinstance(pss, structures.RsaSignature)
    assert pss.scheme is Algorithm.RSAPSS


@pytest.mark.parametrize(
    ("read", "data"),
    [(structures.read_public, PUB), (structures.read_attest, CERT), (structures.read_signature, SIG)],
    ids=["public", "attest", "signature"],
)
def test_nothing_may_be_missing_and_nothing_may_follow(read: object, data: bytes) -> None:
    assert callable(read)
    with pytest.raises(TpmMalformed, match="followed by 1 bytes"):
        read(data + b"\0")
    for cut in range(len(data)):
        with pytest.raises(TpmMalformed):
            read(data[:cut])
    with pytest.raises(TpmMalformed, match="more than"):
        read(bytes(MAX_STRUCTURE + 1))


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, b"\x00\x08", "KEYEDHASH; RSA and ECC"),
        (0, b"\x12\x34", "algorithm 0x1234"),
        (2, b"\x00\x10", "NULL is no hash"),
        (4, b"\x80\x04\x00\x72", "reserved attributes"),
        (10, b"\x00\x23", "no symmetric algorithm"),
        (12, b"\x00\x23", "no scheme"),
        (16, b"\x00\x10", "curve 0x0010"),
    ],
)
def test_a_public_area_with_something_unknown_is_refused(at: int, value: bytes, says: str) -> None:
    # type 0, nameAlg 2, attributes 4, policy 8 (empty), symmetric 10, scheme 12 (NULL or ECDSA), curve 14 or 16
    base = PUB[:10] + b"\x00\x10" + b"\x00\x18\x00\x0b" + b"\x00\x03" + PUB[-2 * 34 - 2 :]
    structures.read_public(base)
    with pytest.raises(TpmMalformed, match=says):
        structures.read_public(base[:at] + value + base[at + len(value) :])


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [(0, b"\xfe", "no TPM made it"), (4, b"\x80\x18", "type 0x8018")],
)
def test_another_attestation_is_no_certification(at: int, value: bytes, says: str) -> None:
    with pytest.raises(TpmMalformed, match=says):
        structures.read_attest(CERT[:at] + value + CERT[at + len(value) :])


@given(
    ecc=st.booleans(),
    attributes=st.sets(st.sampled_from(list(Attributes))),
    policy=st.binary(max_size=64),
    numbers=st.tuples(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1)),
    exponent=st.integers(0, 2**32 - 1),
    storage=st.booleans(),
)
def test_whatever_fits_is_read_as_it_was_meant(
    ecc: bool,
    attributes: set[Attributes],
    policy: bytes,
    numbers: tuple[int, int],
    exponent: int,
    storage: bool,
) -> None:
    flags = Attributes(sum(attributes))
    modulus = 1 << 2047 | numbers[0]
    symmetric = b"\x00\x06\x00\x80\x00\x43" if storage else b"\x00\x10"
    data = (b"\x00\x23" if ecc else b"\x00\x01") + b"\x00\x0b" + int(flags).to_bytes(4) + tpm2b(policy) + symmetric
    if ecc:
        data += b"\x00\x18\x00\x0b\x00\x03\x00\x10" + tpm2b(numbers[0].to_bytes(32)) + tpm2b(numbers[1].to_bytes(32))
    else:
        data += b"\x00\x14\x00\x0b\x08\x00" + exponent.to_bytes(4) + tpm2b(modulus.to_bytes(256))
    public = structures.read_public(data)
    assert public.attributes == flags
    assert public.policy == policy
    assert public.symmetric.algorithm is (Algorithm.AES if storage else Algorithm.NULL)
    assert public.unique == (EccUnique(3, *numbers) if ecc else RsaUnique(2048, exponent or 65537, modulus))
    assert public.encoded == data


@given(st.binary(max_size=300))
def test_creation_data_is_read_or_refused(data: bytes) -> None:
    try:
        structures.read_creation_data(data)
    except TpmMalformed:
        pass


def test_creation_data_with_pcrs_is_read_to_its_end() -> None:
    selection = b"\x00\x00\x00\x01\x00\x0b\x03\xff\xff\x00"
    data = selection + tpm2b(b"\1" * 32) + b"\x01\x00\x0b" + tpm2b(b"\2" * 34) + tpm2b(b"\3" * 34) + tpm2b(b"outside")
    creation = structures.read_creation_data(data)
    assert (creation.locality, creation.outside, creation.parent_name) == (1, b"outside", b"\2" * 34)
    with pytest.raises(TpmMalformed, match="17 banks"):
        structures.read_creation_data(b"\x00\x00\x00\x11" + data[4:])
    with pytest.raises(TpmMalformed, match="a parent"):
        structures.read_creation_data(data.replace(b"\x01\x00\x0b\x00\x22", b"\x01\x00\x23\x00\x22"))


def test_the_key_of_a_public_area_is_the_librarys() -> None:
    key = structures.read_public(PUB).key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
