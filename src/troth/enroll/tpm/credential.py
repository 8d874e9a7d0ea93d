"""MakeCredential without a TPM: a secret that one TPM opens, and only for one attestation key (Part 1, 24).

The secret is encrypted under a seed, the seed under the endorsement key, and the attestation key's Name is bound into
both the encryption and its integrity check. TPM2_ActivateCredential gives the secret back only where the endorsement
key lives and an object of that Name is loaded.

The endorsement key comes as a plain public key: what else its public area says (nameAlg, symmetric algorithm) follows
from its kind by the TCG's EK templates (EK Credential Profile 2.5, B.3 and B.4).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from troth.enroll.tpm.errors import ENDORSEMENT_KEY, TpmRefused
from troth.tpm.wire import tpm2b

EndorsementKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Randomness: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Credential:
    """What goes to the TPM: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, each with its size before it."""

    identity: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Template:
    """What an endorsement key's template says besides its kind: nameAlg, and the AES key's size in bits."""

    hash: type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]
    aes_bits: int

    @property
    def name(self) -> str:
        """The hash as hashlib calls it."""
        return self.hash.name

    @property
    def size(self) -> int:
        """Octets of the hash."""
        return self.hash.digest_size


#: L-1, L-2 and H-1, H-2; H-3; H-4; H-6 and H-7.
_RSA = {2048: Template(hashes.SHA256, 128), 3072: Template(hashes.SHA384, 256), 4096: Template(hashes.SHA384, 256)}
_ECC = {
    "secp256r1": Template(hashes.SHA256, 128),
    "secp384r1": Template(hashes.SHA384, 256),
    "secp521r1": Template(hashes.SHA512, 256),
}


def template_of(key: EndorsementKey) -> Template:
    """The template that an endorsement key of this kind has. Raises TpmRefused for a kind that has none."""
    if isinstance(key, rsa.RSAPublicKey):
        found = _RSA.get(key.key_size)
        told = f"RSA of {key.key_size} bits"
    else:
        found = _ECC.get(key.curve.name)
        told = key.curve.name
    if found is None:
        raise TpmRefused(ENDORSEMENT_KEY, f"{told}: endorsement keys are RSA 2048, 3072, 4096 or P-256, P-384, P-521")
    return found


def make_credential(
    key: EndorsementKey, name: bytes, secret: bytes, *, random: Randomness = os.urandom
) -> Credential:  # fmt: skip
    """``secret`` for the TPM of ``key`` and the object called ``name``. Raises TpmRefused for an unfit ``key``.

    Args:
        name: the attestation key's Name, its algorithm's two octets included.
        secret: no longer than the digest of the endorsement key's nameAlg, or no TPM takes it.
    """
    template = template_of(key)
    if len(secret) > template.size:
        raise ValueError(f"a secret of {len(secret)} octets, {template.size} are the most")
    seed, encrypted = _seed_for(key, template, random)
    storage = kdfa(template.name, seed, b"STORAGE", name, b"", template.aes_bits)
    # The IV is zero: the key is used once (Part 1, 24.4).
    encryptor = Cipher(algorithms.AES(storage), CFB(bytes(16))).encryptor()
    identity = encryptor.update(tpm2b(secret)) + encryptor.finalize()
    integrity = kdfa(template.name, seed, b"INTEGRITY", b"", b"", template.size * 8)
    tag = hmac.digest(integrity, identity + name, template.name)
    return Credential(tpm2b(tpm2b(tag) + identity), tpm2b(encrypted))


def _seed_for(key: EndorsementKey, template: Template, random: Randomness) -> tuple[bytes, bytes]:
    """A fresh seed, and what carries it to the TPM (Part 1, B.10.4 and C.6.4)."""
    if isinstance(key, rsa.RSAPublicKey):
        seed = random(template.size)
        # The label's final zero belongs to it (Part 1, B.4).
        oaep = padding.OAEP(padding.MGF1(template.hash()), template.hash(), b"IDENTITY\0")
        return seed, key.encrypt(seed, oaep)
    ephemeral = ec.generate_private_key(key.curve)
    mine, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
    octets = (key.curve.key_size + 7) // 8
    shared = ephemeral.exchange(ec.ECDH(), key)
    x, y = mine.x.to_bytes(octets), mine.y.to_bytes(octets)
    seed = kdfe(template.name, shared, b"IDENTITY", x, theirs.x.to_bytes(octets), template.size * 8)
    return seed, tpm2b(x) + tpm2b(y)


def kdfa(hash_name: str, key: bytes, label: bytes, context_u: bytes, context_v: bytes, bits: int) -> bytes:
    """KDFa: SP 800-108 in counter mode with HMAC (Part 1, 11.4.10.2); ``bits`` a multiple of eight."""
    found, fixed = b"", label + b"\0" + context_u + context_v + bits.to_bytes(4)
    for counter in range(1, 2 + bits // 8 // hashlib.new(hash_name).digest_size):
        found += hmac.digest(key, counter.to_bytes(4) + fixed, hash_name)
    return found[: bits // 8]


def kdfe(hash_name: str, shared: bytes, label: bytes, party_u: bytes, party_v: bytes, bits: int) -> bytes:
    """KDFe: SP 800-56A's concatenation over an ECDH secret (Part 1, 11.4.10.3); ``bits`` a multiple of eight."""
    found, fixed = b"", shared + label + b"\0" + party_u + party_v
    for counter in range(1, 2 + bits // 8 // hashlib.new(hash_name).digest_size):
        found += hashlib.new(hash_name, counter.to_bytes(4) + fixed).digest()
    return found[: bits // 8]
