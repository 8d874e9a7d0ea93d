"""Keys in files: PKCS#8 PEM, mode 0600, in a directory that only the agent enters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from troth.agent import disk
from troth.agent.errors import KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import KeyAccess, KeyType
from troth.client.jose import PrivateKey, PublicKey

_RSA_BITS = {"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key that was read from its file."""

    label: str
    key: PrivateKey

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key()

    def private_key(self) -> PrivateKey:
        return self.key

    def access(self) -> KeyAccess:
        return KeyAccess(to_pem(self.key), exportable=True)


class FileKeys:
    """A directory of keys. See :class:`~troth.agent.keys.model.KeyPlace`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, label: str, type: KeyType) -> FileKey:
        key = generate(type)
        disk.make_directory(self._directory)
        disk.write(self._path(label), to_pem(key))
        return FileKey(label, key)

    def load(self, label: str) -> FileKey:
        found = disk.read(self._path(label))
        if found is None:
            raise KeyTrouble(KEY_MISSING, f"there is no file {self._path(label)}")
        return FileKey(label, from_pem(found, str(self._path(label))))

    def remove(self, label: str) -> None:
        disk.remove(self._path(label))

    def _path(self, label: str) -> Path:
        return self._directory / f"{label}.pem"


def generate(type: KeyType) -> PrivateKey:
    """A fresh key in memory."""
    if type in _RSA_BITS:
        return rsa.generate_private_key(65537, _RSA_BITS[type])
    return ec.generate_private_key(ec.SECP384R1() if type == "p384" else ec.SECP256R1())


def to_pem(key: PrivateKey) -> bytes:
    """``key`` in PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def from_pem(pem: bytes, where: str) -> PrivateKey:
    """The key in ``pem``. Raises KeyTrouble, which names ``where`` and nothing of the content."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyTrouble(KEY_STORE, f"{where} holds no readable private key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        return key
    raise KeyTrouble(KEY_STORE, f"{where} holds a key of a kind that is not known here")
