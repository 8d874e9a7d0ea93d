"""Keys whose private half anybody can have: of standards and test suites, and Debian's of 2006 to 2008.

Two compact lists, made by scripts and looked up by bisection:

* ``published_keys.bin``: private keys printed in RFCs or shipped in test suites, and keys that are made from a small
  number or a repeated octet (``scripts/published_keys.py`` names every source). Eight octets of SHA-256 over the
  SubjectPublicKeyInfo.
* ``debian_rsa2048.bin``: 2,048-bit RSA keys that OpenSSL on Debian and Ubuntu could make while its generator was
  seeded with nothing but the process id (CVE-2008-0166; ``scripts/debian_weak.py`` says for which machines). Six
  octets of SHA-256 over the modulus: the chance that a sound key is taken for one of them is below one in a thousand
  million.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources

from cryptography.hazmat.primitives.asymmetric import rsa

from troth.pki import algorithms
from troth.pki.errors import KEY_PUBLISHED, KeyRefused

#: File → octets of an entry.
PUBLISHED, DEBIAN = ("published_keys.bin", 8), ("debian_rsa2048.bin", 6)


def refuse_published(key: algorithms.PublicKey, spki_sha256: bytes) -> None:
    """Raise KeyRefused if the private key of ``key`` is in everybody's hands."""
    if listed(PUBLISHED, spki_sha256):
        raise KeyRefused(KEY_PUBLISHED, "its private key stands in a standard or a test suite", weakness="published")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048:
        modulus = key.public_numbers().n.to_bytes(256, "big")
        if listed(DEBIAN, hashlib.sha256(modulus).digest()):
            raise KeyRefused(
                KEY_PUBLISHED, "it was made by Debian's OpenSSL of 2006 to 2008 (CVE-2008-0166)", weakness="debian"
            )


def listed(table: tuple[str, int], digest: bytes) -> bool:
    """Whether the beginning of ``digest`` is an entry of ``table``."""
    name, width = table
    data, wanted = _read(name), digest[:width]
    low, high = 0, len(data) // width
    while low < high:
        middle = (low + high) // 2
        if data[middle * width : (middle + 1) * width] < wanted:
            low = middle + 1
        else:
            high = middle
    return data[low * width : (low + 1) * width] == wanted


@lru_cache(maxsize=4)
def _read(name: str) -> bytes:
    return resources.files("troth.pki").joinpath("data", name).read_bytes()
