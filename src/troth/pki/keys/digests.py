"""What key services want instead of a whole message: its digest, or for ML-DSA its µ.

Services bound what they take (AWS 4,096 octets, Google 64 KiB), and a CRL has megabytes. A signature over the digest
is the very one over the message, since hashing is the first step of each algorithm; so it is for µ in FIPS 204
(algorithm 7, line 6: µ = H(tr ‖ M', 64), with tr = H(pk, 64) and M' = 0 ‖ 0 ‖ M for the empty context).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from troth.pki.algorithms import key_bits
from troth.pki.keys.algorithm import KeyAlgorithm

#: The hash of each algorithm that signs a digest.
HASHES: Mapping[KeyAlgorithm, str] = {
    KeyAlgorithm.P256: "sha256",
    KeyAlgorithm.P384: "sha384",
    KeyAlgorithm.RSA3072: "sha256",
    KeyAlgorithm.RSA4096: "sha256",
}
MLDSA = frozenset({KeyAlgorithm.MLDSA44, KeyAlgorithm.MLDSA65, KeyAlgorithm.MLDSA87})


def digest_of(algorithm: KeyAlgorithm, message: bytes) -> bytes:
    """The digest that a key of :data:`HASHES` signs."""
    return hashlib.new(HASHES[algorithm], message).digest()


def external_mu(public_key: bytes, message: bytes) -> bytes:
    """µ of ``message`` for the ML-DSA key in ``public_key`` (SubjectPublicKeyInfo, DER): 64 octets."""
    tr = hashlib.shake_256(key_bits(public_key)).digest(64)
    return hashlib.shake_256(tr + b"\x00\x00" + message).digest(64)


def crc32c(content: bytes) -> int:
    """The CRC-32C (Castagnoli) of ``content``: what Google KMS guards its exchanges with."""
    register = 0xFFFFFFFF
    for octet in content:
        register = (register >> 8) ^ _CRC_TABLE[(register ^ octet) & 0xFF]
    return register ^ 0xFFFFFFFF


def _crc_row(n: int) -> int:
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    return n


_CRC_TABLE = tuple(_crc_row(n) for n in range(256))
