"""Which public keys may hold an ACME account (or be certified): kind, size, and none that is known to be broken.

Parsing a JWK costs ten microseconds and checking an RSA modulus hundreds, and every request of an account names the
same key; :class:`AccountKeys` therefore remembers the keys it has passed.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.acme.errors import JWS_KEY
from troth.enroll.acme.problems import AcmeProblem

_SMALLEST_RSA = 2048
_LARGEST_RSA = 8192
_FERMAT_ROUNDS = 100

_SMALL_PRIMES = tuple(n for n in range(3, 752) if all(n % p for p in range(2, math.isqrt(n) + 1)))
_SMALL_PRIMES_PRODUCT = math.prod(_SMALL_PRIMES)


def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    """For the primes of the published ROCA test (CVE-2017-15361): the powers of 65537 modulo each."""
    found = []
    for prime in (p for p in _SMALL_PRIMES if p <= 167):
        power, powers = 1, set()
        while power not in powers:
            powers.add(power)
            power = power * 65537 % prime
        # Where 65537 generates the whole group the residue tells nothing.
        if len(powers) < prime - 1:
            found.append((prime, frozenset(powers)))
    return tuple(found)


_ROCA = _roca_residues()


def weakness_of(key: object) -> str | None:
    """Why ``key`` (a public key of ``cryptography``) must not be trusted, as a sentence; None if nothing is known.

    EC and Ed25519 keys have no weak sizes among the curves that the parser lets through. RSA: 2,048 to 8,192 bits in
    whole octets, exponent 65537 or a larger odd one of at most 64 bits (e = 3 has broken too many verifiers), no
    small factors, no two close primes (Fermat), not of the Infineon library that CVE-2017-15361 is about.
    """
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    numbers = key.public_numbers()
    modulus, bits = numbers.n, key.key_size
    if not _SMALLEST_RSA <= bits <= _LARGEST_RSA or bits % 8:
        return f"the RSA key has {bits} bits; {_SMALLEST_RSA} to {_LARGEST_RSA} in whole octets are accepted"
    if numbers.e < 65537 or numbers.e % 2 == 0 or numbers.e.bit_length() > 64:
        return "the RSA exponent must be 65537, or a larger odd number of at most 64 bits"
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRIMES_PRODUCT) != 1:
        return "the RSA modulus has small factors"
    if all(modulus % prime in residues for prime, residues in _ROCA):
        return "the RSA key was made by a library whose keys can be factored (CVE-2017-15361)"
    if _close_primes(modulus):
        return "the RSA key's primes lie too close together and were found"
    return None


def _close_primes(modulus: int) -> bool:
    """Whether Fermat's method splits ``modulus`` within a hundred rounds (CVE-2022-26320)."""
    root = math.isqrt(modulus)
    if root * root < modulus:
        root += 1
    for _ in range(_FERMAT_ROUNDS):
        rest = root * root - modulus
        half = math.isqrt(rest)
        if half * half == rest:
            return True
        root += 1
    return False


class AccountKeys:
    """Public keys parsed and passed before, at most ``size`` of them, the least recently used dropped first."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._known: OrderedDict[bytes, VerifyingKey] = OrderedDict()

    def stored(self, jwk: bytes) -> VerifyingKey:
        """The key of an account, from the JSON that was stored when the account was made."""
        found = self._known.get(jwk)
        if found is not None:
            self._known.move_to_end(jwk)
            return found
        return self._keep(jwk, VerifyingKey.from_jwk(msgspec.json.decode(jwk)))

    def offered(self, jwk: object) -> VerifyingKey:
        """The key in a ``jwk`` header. Raises AcmeProblem (badPublicKey) for what must not hold an account."""
        try:
            key = VerifyingKey.from_jwk(jwk)
        except JoseError as error:
            raise AcmeProblem(JWS_KEY, error.detail) from None
        encoded = encode_jwk(key)
        found = self._known.get(encoded)
        if found is not None:
            self._known.move_to_end(encoded)
            return found
        weakness = weakness_of(key.public_key)
        if weakness is not None:
            raise AcmeProblem(JWS_KEY, weakness)
        return self._keep(encoded, key)

    def _keep(self, encoded: bytes, key: VerifyingKey) -> VerifyingKey:
        self._known[encoded] = key
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return key


def encode_jwk(key: VerifyingKey) -> bytes:
    """The JSON under which an account's key is stored: required members only, in RFC 7638 order."""
    return msgspec.json.encode(key.jwk)
