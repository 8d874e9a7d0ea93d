"""Is this public key of an accepted kind, and free of the weaknesses that are cheap to see?

Checked: size and exponent whitelist, small prime factors, close primes (Fermat), the ROCA fingerprint, and where a
key comes in from outside whether its private half is published (``published``). Points of elliptic curves are validated
by cryptography when it loads them; an Ed25519 or ML-DSA key has nothing to check but its length, which is its kind.
Whether somebody has *reported* the key is the database's business (``blocked``).
"""

from __future__ import annotations

import hashlib
import math

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from troth.pki import algorithms
from troth.pki.errors import KEY_UNSUPPORTED, KEY_WEAK, KeyRefused
from troth.pki.published import refuse_published

#: Kinds by name, as profiles list them. RSA of other sizes between the bounds counts as the next smaller kind.
KINDS = (
    "p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096", "mldsa44", "mldsa65", "mldsa87",
)  # fmt: skip

#: pyca name of a curve → kind.
CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
_FERMAT_ROUNDS = 100

#: id-ml-dsa-44, -65 and -87, as they stand in an AlgorithmIdentifier.
_MLDSA_ARC = bytes.fromhex("06096086480165030403")
_MLDSA_OIDS = tuple(_MLDSA_ARC + bytes([last]) for last in (17, 18, 19))


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\x00\x00"
    for n in range(2, math.isqrt(limit) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(limit) if sieve[n]]


#: Boulder's list: a modulus with a factor below 752 was not made by a working generator.
_SMALL_PRIMES = math.prod(_primes_below(752))

#: ROCA (CVE-2017-15361): Infineon moduli are powers of 65537 modulo each of these primes. A sound modulus passes all
#: of them with a chance of about 2**-28.
_ROCA = tuple(
    (prime, frozenset(pow(65537, power, prime) for power in range(prime - 1)))
    for prime in _primes_below(168)
    if prime > 2
)


class CheckedKey(msgspec.Struct, frozen=True):
    """A public key that passed.

    Attributes:
        kind: one of :data:`KINDS`.
        spki: DER SubjectPublicKeyInfo in canonical encoding.
        sha256: of ``spki``.
        public: the key, loaded.
    """

    kind: str
    spki: bytes
    sha256: bytes
    public: algorithms.PublicKey


#: Keys that were found sound lately, by what they are: an order's key is looked at where its request comes in and again
#: at the gate. Nothing that a check rests on changes while a process lives.
_sound: dict[bytes, CheckedKey] = {}
_REMEMBERED = 1024


def is_post_quantum(spki: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo (DER) says ML-DSA (RFC 9881, 2); nothing else is checked."""
    return _MLDSA_ARC in spki[:32] and any(oid in spki[:32] for oid in _MLDSA_OIDS)


def check_key(key: algorithms.PublicKey) -> CheckedKey:
    """``key`` if it is accepted. Raises KeyRefused with the weakness named."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise KeyRefused(KEY_UNSUPPORTED, f"curve {key.curve.name} is not accepted")
        kind = CURVES[key.curve.name]
    elif isinstance(key, rsa.RSAPublicKey):
        kind = _check_rsa(key.public_numbers())
    else:
        kind = "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else algorithms.mldsa_kind(key)
    spki = algorithms.spki_of(key)
    return CheckedKey(kind, spki, hashlib.sha256(spki).digest(), key)


def check_offered(key: algorithms.PublicKey) -> CheckedKey:
    """As :func:`check_key`, for a key from outside: one whose private half is published is refused, too."""
    checked = check_key(key)
    refuse_published(key, checked.sha256)
    if len(_sound) >= _REMEMBERED:
        _sound.clear()
    _sound[checked.spki] = checked
    return checked


def check_spki(spki: bytes, *, offered: bool = True) -> CheckedKey:
    """As :func:`check_offered`, or :func:`check_key`, from DER of at most 4,096 bytes."""
    if len(spki) > 4096:
        raise KeyRefused(KEY_UNSUPPORTED, "the public key is longer than 4,096 bytes")
    known = _sound.get(spki)
    if known is not None:
        return known
    try:
        key = algorithms.load_public(spki)
    except Exception as error:
        # cryptography raises ValueError, TypeError and UnsupportedAlgorithm for hostile keys, by version.
        raise KeyRefused(KEY_UNSUPPORTED, "the public key cannot be read or its kind is not accepted") from error
    return check_offered(key) if offered else check_key(key)


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> str:
    n, e = numbers.n, numbers.e
    size = n.bit_length()
    if not 2048 <= size <= 8192:
        raise KeyRefused(KEY_UNSUPPORTED, f"RSA modulus of {size} bits; 2,048 to 8,192 are accepted")
    if e < 65537 or e % 2 == 0 or e.bit_length() > 64:
        # A large exponent makes verification slow for everyone who meets the certificate.
        raise KeyRefused(KEY_UNSUPPORTED, "RSA exponent is not an odd number of at least 65,537 and at most 64 bits")
    if n % 2 == 0 or math.gcd(n, _SMALL_PRIMES) != 1:
        raise KeyRefused(KEY_WEAK, "the RSA modulus has a small prime factor", weakness="small_factor")
    if all(n % prime in group for prime, group in _ROCA):
        raise KeyRefused(KEY_WEAK, "the RSA modulus carries the ROCA fingerprint (CVE-2017-15361)", weakness="roca")
    _refuse_close_primes(n)
    return "rsa2048" if size < 3072 else "rsa3072" if size < 4096 else "rsa4096"


def _refuse_close_primes(n: int) -> None:
    """Fermat's factorisation finds p and q that lie close together within a few rounds (CVE-2022-26320)."""
    a = math.isqrt(n)
    if a * a < n:
        a += 1
    b2 = a * a - n
    for _ in range(_FERMAT_ROUNDS):
        # A square is 0, 1, 4 or 9 modulo 16: three quarters of the roots need not be taken.
        if b2 & 0xF in (0, 1, 4, 9) and math.isqrt(b2) ** 2 == b2:
            raise KeyRefused(KEY_WEAK, "the RSA primes lie too close together", weakness="fermat")
        b2 += 2 * a + 1
        a += 1
