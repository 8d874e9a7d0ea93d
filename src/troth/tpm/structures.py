"""What a TPM says of its keys, read strictly: TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE, TPMS_CREATION_DATA.

The encodings are those of the TPM 2.0 Library Specification, Part 2 (sections are given at each). A reader takes the
bytes of one structure and returns a frozen record, or raises TpmMalformed: for an algorithm that no TPM key here may
have, a field that is too long, bytes that are missing or left over. Nothing is judged here; what a key must be is the
caller's to say.

    public = read_public(pub_area)
    attest = read_attest(cert_info)
    attest.attested.name == public.name
    verify_signature(read_signature(sig), attestation_key, cert_info)    # in ``signature``
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.tpm.numbers import GENERATED, Algorithm, AttestType, Attributes
from troth.tpm.wire import Unmarshal, malformed

__all__ = [
    "GENERATED", "Algorithm", "Attest", "AttestType", "Attributes", "Certified", "Clock", "Created", "CreationData",
    "EccUnique", "EcdsaSignature", "Public", "RsaSignature", "RsaUnique", "Scheme", "Symmetric", "TpmSignature",
    "digest", "hash_name", "read_attest", "read_creation_data", "read_public", "read_signature",
]  # fmt: skip

#: The largest digest, name, and RSA or EC number that is read.
_DIGEST, _NAME, _NUMBER = 64, 66, 512
_HASHES = {Algorithm.SHA1: "sha1", Algorithm.SHA256: "sha256", Algorithm.SHA384: "sha384", Algorithm.SHA512: "sha512"}
#: TPM_ECC_CURVE (Part 2, 6.4) → the curve; others are not taken.
_CURVES: dict[int, ec.EllipticCurve] = {3: ec.SECP256R1(), 4: ec.SECP384R1(), 5: ec.SECP521R1()}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key signs or decrypts: the algorithm and its hash; NULL leaves it to each use."""

    algorithm: Algorithm
    hash: Algorithm | None = None


@dataclass(frozen=True, slots=True)
class Symmetric:
    """The symmetric algorithm with which a storage key protects its children; a signing key has NULL."""

    algorithm: Algorithm
    bits: int = 0
    mode: Algorithm | None = None


@dataclass(frozen=True, slots=True)
class RsaUnique:
    """TPMS_RSA_PARMS and its modulus; an encoded exponent of 0 is 65537 (Part 2, 12.2.3.5)."""

    bits: int
    exponent: int
    modulus: int


@dataclass(frozen=True, slots=True)
class EccUnique:
    """TPMS_ECC_PARMS and its point. ``curve`` is the TPM_ECC_CURVE."""

    curve: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC (Part 2, 12.2.4).

    Attributes:
        encoded: the bytes it was read from; the name is made of them.
        policy: authPolicy, empty where there is none.
    """

    encoded: bytes
    name_algorithm: Algorithm
    attributes: Attributes
    policy: bytes
    symmetric: Symmetric
    scheme: Scheme
    unique: RsaUnique | EccUnique

    @property
    def name(self) -> bytes:
        """The object's Name: its nameAlg and the hash of the public area (Part 1, 16)."""
        return self.name_algorithm.to_bytes(2) + digest(self.name_algorithm, self.encoded)

    def has(self, wanted: Attributes) -> bool:
        """Whether all of ``wanted`` are set."""
        return self.attributes & wanted == wanted

    def key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        """The key itself. Raises TpmMalformed for numbers that are no key."""
        try:
            if isinstance(self.unique, RsaUnique):
                return rsa.RSAPublicNumbers(self.unique.exponent, self.unique.modulus).public_key()
            curve = _CURVES[self.unique.curve]
            return ec.EllipticCurvePublicNumbers(self.unique.x, self.unique.y, curve).public_key()
        except ValueError as error:
            raise malformed("TPMT_PUBLIC holds numbers that are no public key") from error


def digest(algorithm: Algorithm, data: bytes) -> bytes:
    """The hash of ``data``. Raises TpmMalformed where ``algorithm`` is no hash."""
    return hashlib.new(hash_name(algorithm), data, usedforsecurity=True).digest()


def hash_name(algorithm: Algorithm) -> str:
    """What the standard library calls it: ``sha256``. Raises TpmMalformed."""
    found = _HASHES.get(algorithm)
    if found is None:
        raise malformed(f"{algorithm.name} is no hash algorithm")
    return found


def read_public(data: bytes) -> Public:
    """A TPMT_PUBLIC of an RSA or ECC key, as ``pubArea`` and ``params.public`` carry it. Raises TpmMalformed."""
    r = Unmarshal(data, "TPMT_PUBLIC")
    kind, name_algorithm = _algorithm(r), _hash(r)
    bits = r.integer(4)
    if bits & ~sum(Attributes):
        raise malformed(f"TPMT_PUBLIC sets reserved attributes: {bits:#010x}")
    attributes = Attributes(bits)
    policy = r.sized(_DIGEST)
    symmetric, scheme = _symmetric(r), _scheme(r)
    unique: RsaUnique | EccUnique
    if kind is Algorithm.RSA:
        size, exponent = r.integer(2), r.integer(4)
        unique = RsaUnique(size, exponent or 65537, int.from_bytes(r.sized(_NUMBER)))
        if unique.modulus.bit_length() != size:
            raise malformed(f"TPMT_PUBLIC says {size} bits of a modulus that has {unique.modulus.bit_length()}")
    elif kind is Algorithm.ECC:
        curve = r.integer(2)
        if curve not in _CURVES:
            raise malformed(f"TPMT_PUBLIC is on curve {curve:#06x}; P-256, P-384 and P-521 are read")
        _scheme(r)  # the key derivation, which no key uses (Part 2, 12.2.3.6)
        # Windows pads coordinates beyond the curve's size, or cuts leading zeros: they are numbers.
        unique = EccUnique(curve, int.from_bytes(r.sized(_NUMBER)), int.from_bytes(r.sized(_NUMBER)))
    else:
        raise malformed(f"TPMT_PUBLIC is of type {kind.name}; RSA and ECC are read")
    r.end()
    return Public(data, name_algorithm, attributes, policy, symmetric, scheme, unique)


@dataclass(frozen=True, slots=True)
class Clock:
    """TPMS_CLOCK_INFO: milliseconds since the TPM was cleared, and how often it started since (Part 2, 10.11.1)."""

    clock: int
    resets: int
    restarts: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Certified:
    """TPMS_CERTIFY_INFO: which object lives in this TPM (Part 2, 10.12.3)."""

    name: bytes
    qualified_name: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """TPMS_CREATION_INFO: which object this TPM made, and the hash of its creation data (Part 2, 10.12.7)."""

    name: bytes
    creation_hash: bytes


@dataclass(frozen=True, slots=True)
class Attest:
    """TPMS_ATTEST (Part 2, 10.12.12).

    Attributes:
        extra: extraData, what the asker gave to be signed with it.
    """

    signer: bytes
    extra: bytes
    clock: Clock
    firmware: int
    attested: Certified | Created


def read_attest(data: bytes) -> Attest:
    """A TPMS_ATTEST that certifies an object or its creation. Raises TpmMalformed, for other kinds also."""
    r = Unmarshal(data, "TPMS_ATTEST")
    magic = r.integer(4)
    if magic != GENERATED:
        raise malformed(f"TPMS_ATTEST begins with {magic:#010x} instead of {GENERATED:#010x}: no TPM made it")
    kind = r.integer(2)
    signer, extra = r.sized(_NAME), r.sized(_DIGEST + 2)
    clock = Clock(r.integer(8), r.integer(4), r.integer(4), _yes_no(r))
    firmware = r.integer(8)
    attested: Certified | Created
    if kind == AttestType.CERTIFY:
        attested = Certified(r.sized(_NAME), r.sized(_NAME))
    elif kind == AttestType.CREATION:
        attested = Created(r.sized(_NAME), r.sized(_DIGEST))
    else:
        raise malformed(f"TPMS_ATTEST is of type {kind:#06x}; certify (0x8017) and creation (0x801a) are read")
    r.end()
    return Attest(signer, extra, clock, firmware, attested)


@dataclass(frozen=True, slots=True)
class RsaSignature:
    """TPMS_SIGNATURE_RSASSA or _RSAPSS (Part 2, 11.3.1)."""

    scheme: Algorithm
    hash: Algorithm
    signature: bytes


@dataclass(frozen=True, slots=True)
class EcdsaSignature:
    """TPMS_SIGNATURE_ECDSA (Part 2, 11.3.2)."""

    hash: Algorithm
    r: int
    s: int


TpmSignature: TypeAlias = RsaSignature | EcdsaSignature


def read_signature(data: bytes) -> TpmSignature:
    """A TPMT_SIGNATURE of an RSA or ECDSA key (Part 2, 11.3.4). Raises TpmMalformed."""
    r = Unmarshal(data, "TPMT_SIGNATURE")
    scheme, hashed = _algorithm(r), _hash(r)
    found: TpmSignature
    if scheme in {Algorithm.RSASSA, Algorithm.RSAPSS}:
        found = RsaSignature(scheme, hashed, r.sized(_NUMBER))
    elif scheme is Algorithm.ECDSA:
        found = EcdsaSignature(hashed, int.from_bytes(r.sized(_NUMBER)), int.from_bytes(r.sized(_NUMBER)))
    else:
        raise malformed(f"TPMT_SIGNATURE is of scheme {scheme.name}; RSASSA, RSAPSS and ECDSA are read")
    r.end()
    return found


@dataclass(frozen=True, slots=True)
class CreationData:
    """TPMS_CREATION_DATA (Part 2, 15.1), without the PCR selection, which says nothing here."""

    encoded: bytes
    locality: int
    parent_name: bytes
    outside: bytes


def read_creation_data(data: bytes) -> CreationData:
    """A TPMS_CREATION_DATA. Raises TpmMalformed."""
    r = Unmarshal(data, "TPMS_CREATION_DATA")
    selections = r.integer(4)
    if selections > 16:
        raise malformed(f"TPMS_CREATION_DATA selects {selections} banks of PCRs, more than 16")
    for _ in range(selections):
        _hash(r)
        r.take(min(r.integer(1), 32))
    r.sized(_DIGEST)
    locality = r.integer(1)
    parent = r.integer(2)
    if parent != Algorithm.NULL and parent not in _HASHES:
        raise malformed(f"TPMS_CREATION_DATA has a parent of algorithm {parent:#06x}")
    parent_name = r.sized(_NAME)
    r.sized(_NAME)
    outside = r.sized(_DIGEST + 2)
    r.end()
    return CreationData(data, locality, parent_name, outside)


def _algorithm(r: Unmarshal) -> Algorithm:
    number = r.integer(2)
    try:
        return Algorithm(number)
    except ValueError as error:
        raise malformed(f"there is an algorithm {number:#06x}, which is not known here") from error


def _hash(r: Unmarshal) -> Algorithm:
    found = _algorithm(r)
    hash_name(found)
    return found


def _symmetric(r: Unmarshal) -> Symmetric:
    algorithm = _algorithm(r)
    if algorithm is Algorithm.NULL:
        return Symmetric(algorithm)
    if algorithm not in {Algorithm.AES, Algorithm.SM4, Algorithm.CAMELLIA}:
        raise malformed(f"{algorithm.name} is no symmetric algorithm of a key")
    return Symmetric(algorithm, r.integer(2), _algorithm(r))


def _scheme(r: Unmarshal) -> Scheme:
    """TPMT_RSA_SCHEME, TPMT_ECC_SCHEME and TPMT_KDF_SCHEME: their details are a hash, or nothing (Part 2, 11.2)."""
    algorithm = _algorithm(r)
    if algorithm in {Algorithm.NULL, Algorithm.RSAES}:
        return Scheme(algorithm)
    if algorithm not in _SCHEMES:
        raise malformed(f"{algorithm.name} is no scheme of a key")
    scheme = Scheme(algorithm, _hash(r))
    if algorithm is Algorithm.ECDAA:
        r.integer(2)
    return scheme


_SCHEMES = {
    Algorithm.RSASSA, Algorithm.RSAPSS, Algorithm.OAEP, Algorithm.ECDSA, Algorithm.ECDH, Algorithm.ECDAA,
    Algorithm.SM2, Algorithm.ECSCHNORR, Algorithm.MGF1, Algorithm.KDF1_SP800_56A, Algorithm.KDF2,
    Algorithm.KDF1_SP800_108,
}  # fmt: skip


def _yes_no(r: Unmarshal) -> bool:
    value = r.integer(1)
    if value > 1:
        raise malformed(f"TPMS_ATTEST has {value} where yes or no belongs")
    return value == 1
