"""Keys in encrypted files: ``<data>/keys/<key_id>.json``.

The private key is a PKCS#8 under AES-256-GCM. Its key comes by HKDF-SHA256 from ``<data>/secrets/keystore.secret``
(32 random octets, so no slow derivation is called for) with a salt of its own; the metadata is the additional
authenticated data. So the limits of a key cannot be edited on disk, nor one key's limits be put on another.

Trusted: the secret file. Must never be lost: key files together with the secret. May be lost: nothing here.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki.algorithms import PrivateKey
from troth.pki.keys.algorithm import (
    KeyAlgorithm,
    algorithm_of,
    from_pkcs8,
    generate_private_key,
    public_key_info,
    signing_function,
    to_pkcs8,
)
from troth.pki.keys.errors import (
    KEY_ATTACHED,
    KEY_DAMAGED,
    KEY_PURPOSE,
    KEY_STORE_IN_USE,
    KEY_UNKNOWN,
    SECRET_UNSAFE,
    KeyRefused,
    KeyUnavailable,
    SecretUnsafe,
)
from troth.pki.keys.files import (
    ensure_secret,
    private_directory,
    read_secret,
    remove_partials,
    sync_directory,
    write_private,
)
from troth.pki.keys.model import RELEASED, IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.prehash import sign_digest

log = get_logger("pki")

_FORMAT = "troth-key-1"


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key file. ``metadata`` stays the bytes that were authenticated, whatever fields later versions add."""

    format: str
    metadata: msgspec.Raw
    salt: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """A private key in this process's memory."""

    algorithm: KeyAlgorithm
    sign: Callable[[bytes], bytes] = field(repr=False)
    #: Over the digest of ``troth.pki.prehash``; Ed25519 has none.
    sign_digest: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Held:
    metadata: KeyMetadata
    key: SoftwareKey
    private: PrivateKey = field(repr=False)


class KeyStore:
    """The custodian of software keys. One process at a time has a store open.

    Made with :meth:`open`. Methods that write files block for a disk flush; reading methods may be called from
    another thread meanwhile, since a key is published by one assignment after it is durable.
    """

    def __init__(self, directory: Path, secret: bytes, clock: Clock, lock: int) -> None:
        self._directory = directory
        self._secret = secret
        self._clock = clock
        self._lock = lock
        self._held: dict[str, _Held] = {}
        self._damaged: set[str] = set()

    @classmethod
    def open(cls, data: Path, clock: Clock) -> KeyStore:
        """The store in ``data``, made if there is none.

        A file that does not open is reported and its key answers :class:`KeyUnavailable`; the others are usable.
        Raises KeyUnavailable when another process has the store open, SecretUnsafe when the store has keys and its
        secret is missing or open to others.
        """
        directory = private_directory(data / "keys")
        lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise KeyUnavailable(KEY_STORE_IN_USE) from error
        try:
            remove_partials(directory)
            secret_file = data / "secrets" / "keystore.secret"
            found = sorted(directory.glob("*.json"))
            if found and not secret_file.exists():
                raise SecretUnsafe(SECRET_UNSAFE, "there are keys, but no secrets/keystore.secret to open them with")
            store = cls(directory, read_secret(secret_file) if found else ensure_secret(secret_file), clock, lock)
            for path in found:
                store._load(path)
        except BaseException:
            os.close(lock)
            raise
        return store

    @property
    def secret(self) -> bytes:
        """The store's secret, for what else of keys is authenticated with it."""
        return self._secret

    def close(self) -> None:
        """Let another process open the store."""
        self._held = {}
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def generate(
        self, purpose: KeyPurpose, algorithm: KeyAlgorithm = KeyAlgorithm.P256, *, use_until: datetime | None = None
    ) -> KeyMetadata:
        """Make a key; it is durable when this returns."""
        private = generate_private_key(algorithm)
        metadata = KeyMetadata(
            key_id=f"{purpose}-{new_id()}",
            purpose=purpose,
            algorithm=algorithm,
            public_key=public_key_info(private),
            created=self._clock.now(),
            use_until=use_until,
        )
        return self._keep(metadata, private)

    def take(self, private: PrivateKey) -> KeyMetadata:
        """Keep an issuing key that was made elsewhere; the same key again is the one that is here. Durable on return.

        Raises KeyRefused when it is here for another purpose.
        """
        spki = public_key_info(private)
        for held in self._held.values():
            if held.metadata.public_key == spki:
                if held.metadata.purpose is not KeyPurpose.ISSUING:
                    raise KeyRefused(KEY_PURPOSE, f"{held.metadata.key_id} is a {held.metadata.purpose} key")
                return held.metadata
        metadata = KeyMetadata(
            key_id=f"{KeyPurpose.ISSUING}-{new_id()}",
            purpose=KeyPurpose.ISSUING,
            algorithm=algorithm_of(private),
            public_key=spki,
            created=self._clock.now(),
            evidence=(("ORIGIN", "imported from a file"),),
        )
        return self._keep(metadata, private)

    def list_keys(self) -> Sequence[KeyMetadata]:
        """Every key that opens, oldest first."""
        return sorted((held.metadata for held in self._held.values()), key=lambda metadata: metadata.created)

    def metadata(self, key_id: str) -> KeyMetadata:
        """About one key. Raises KeyRefused when there is none, KeyUnavailable when it does not open."""
        return self._find(key_id).metadata

    def signing_key(self, key_id: str) -> SoftwareKey:
        """The key itself. Raises as :meth:`metadata`."""
        return self._find(key_id).key

    def attach(self, key_id: str, certificate: bytes, limits: IssuingLimits) -> KeyMetadata:
        """Bind an issuing key to its authority and its limits, once and durably. Raises KeyRefused."""
        held = self._find(key_id)
        if held.metadata.purpose is not KeyPurpose.ISSUING:
            raise KeyRefused(KEY_PURPOSE, f"{key_id} is no issuing key")
        if held.metadata.limits is not None:
            raise KeyRefused(KEY_ATTACHED)
        return self._keep(msgspec.structs.replace(held.metadata, limits=limits, certificate=certificate), held.private)

    def export(self, key_id: str) -> bytes:
        """PKCS#8 of a key of a :data:`RELEASED` purpose in the clear, to be sealed at once. Raises KeyRefused."""
        held = self._find(key_id)
        if held.metadata.purpose not in RELEASED:
            raise KeyRefused(KEY_PURPOSE, f"{key_id} never leaves the signer")
        return to_pkcs8(held.private)

    def forget(self, key_id: str) -> None:
        """Destroy an ``ocsp`` or ``jwt`` key. Raises KeyRefused for every other purpose."""
        if self._find(key_id).metadata.purpose not in (KeyPurpose.OCSP, KeyPurpose.JWT):
            raise KeyRefused(KEY_PURPOSE, f"{key_id} is not forgotten")
        self._held = {known: held for known, held in self._held.items() if known != key_id}
        self._path(key_id).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _find(self, key_id: str) -> _Held:
        held = self._held.get(key_id)
        if held is not None:
            return held
        if key_id in self._damaged:
            raise KeyUnavailable(KEY_DAMAGED)
        raise KeyRefused(KEY_UNKNOWN)

    def _keep(self, metadata: KeyMetadata, private: PrivateKey) -> KeyMetadata:
        encoded = msgspec.json.encode(metadata)
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        sealed = self._cipher(salt).encrypt(nonce, to_pkcs8(private), _FORMAT.encode() + encoded)
        file = _KeyFile(_FORMAT, msgspec.Raw(encoded), salt, nonce, sealed)
        write_private(self._path(metadata.key_id), msgspec.json.encode(file))
        self._hold(metadata, private)
        return metadata

    def _load(self, path: Path) -> None:
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
            bound = file.format.encode() + bytes(file.metadata)
            plain = self._cipher(file.salt).decrypt(file.nonce, file.ciphertext, bound)
            metadata = msgspec.json.decode(file.metadata, type=KeyMetadata)
            private = from_pkcs8(plain)
            named = file.format == _FORMAT and path.stem == metadata.key_id
            if not named or public_key_info(private) != metadata.public_key:
                raise ValueError("the file does not hold the key that its name says")
        except (OSError, ValueError, InvalidTag) as error:
            self._damaged.add(path.stem)
            log.error("key.damaged", key_id=path.stem, error=type(error).__name__)
            return
        self._hold(metadata, private)

    def _hold(self, metadata: KeyMetadata, private: PrivateKey) -> None:
        key = SoftwareKey(metadata.algorithm, signing_function(private), partial(sign_digest, private))
        # One assignment publishes it: other threads walk over the old dict undisturbed.
        self._held = {**self._held, metadata.key_id: _Held(metadata, key, private)}

    def _cipher(self, salt: bytes) -> AESGCM:
        derivation = HKDF(hashes.SHA256(), length=32, salt=salt, info=b"troth keystore: key file")
        return AESGCM(derivation.derive(self._secret))

    def _path(self, key_id: str) -> Path:
        return self._directory / f"{key_id}.json"
