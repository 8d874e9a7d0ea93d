"""Keys in a TPM in the shape of the library's private keys, so that whatever signs with those signs with these.

A certificate request or an account's JWS takes such an object. What would need the key itself (exporting it, agreeing
on a secret, decrypting) raises KeyTrouble: the key cannot do it, or this program has no business with it.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat

from troth.agent.errors import KEY_KIND, KEY_STAYS, KeyTrouble

_HASHES = {"sha256", "sha384", "sha512"}


class Signing(Protocol):
    """Signs digests (:meth:`troth.agent.keys.tpm.device.Tpm.sign`)."""

    def sign(self, pem: bytes, digest: bytes, scheme: str, hash_name: str) -> tuple[bytes, ...]:
        """(r, s) of ``ecdsa``, or the one signature."""
        ...


def _stays(*_: object, **__: object) -> NoReturn:
    raise KeyTrouble(KEY_STAYS, "the key lives in the TPM")


def _digest(data: bytes, algorithm: hashes.HashAlgorithm | Prehashed) -> tuple[bytes, str]:
    if isinstance(algorithm, Prehashed):
        names = {32: "sha256", 48: "sha384", 64: "sha512"}
        name = names.get(algorithm.digest_size, "")
        digest = bytes(data)
    else:
        name = algorithm.name
        digest = hashlib.new(name, data).digest() if name in _HASHES else b""
    if name not in _HASHES:
        raise KeyTrouble(KEY_KIND, "a TPM signs here with SHA-256, SHA-384 or SHA-512")
    return digest, name


class TpmEcKey(ec.EllipticCurvePrivateKey):
    """An ECDSA key in a TPM."""

    def __init__(self, tpm: Signing, pem: bytes, public: ec.EllipticCurvePublicKey) -> None:
        self._tpm = tpm
        self._pem = pem
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]
        digest, name = _digest(data, signature_algorithm.algorithm)
        r, s = self._tpm.sign(self._pem, digest, "ecdsa", name)
        return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        _stays()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        _stays()

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> bytes:
        _stays()

    def __copy__(self) -> TpmEcKey:
        return self

    def __deepcopy__(self, memo: dict[object, object]) -> TpmEcKey:
        return self


class TpmRsaKey(rsa.RSAPrivateKey):
    """An RSA key in a TPM, for signatures."""

    def __init__(self, tpm: Signing, pem: bytes, public: rsa.RSAPublicKey) -> None:
        self._tpm = tpm
        self._pem = pem
        self._public = public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def sign(  # type: ignore[override]
        self, data: bytes, padding: object, algorithm: hashes.HashAlgorithm | Prehashed
    ) -> bytes:
        digest, name = _digest(data, algorithm)
        (signature,) = self._tpm.sign(self._pem, digest, _scheme(padding), name)
        return signature

    def decrypt(self, ciphertext: bytes, padding: object) -> bytes:
        _stays()

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        _stays()

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> bytes:
        _stays()

    def __copy__(self) -> TpmRsaKey:
        return self

    def __deepcopy__(self, memo: dict[object, object]) -> TpmRsaKey:
        return self


def _scheme(chosen: object) -> str:
    if isinstance(chosen, padding.PKCS1v15):
        return "rsassa"
    if isinstance(chosen, padding.PSS):
        return "rsapss"
    raise KeyTrouble(KEY_KIND, "RSA signatures are PKCS #1 v1.5 or PSS")
