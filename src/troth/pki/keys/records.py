"""What is kept here about keys that are held elsewhere: ``<data>/keys/held/<key_id>.json``.

The private key is in a token or a key service; its limits, its authority's certificate and the name under which the
custodian knows it are in a record. A record is authenticated: an HMAC-SHA256 under a key that comes by HKDF from
``<data>/secrets/keystore.secret`` covers every octet of it. So neither can limits be edited on disk, nor can a record
be pointed at another key of the token.

Trusted: the secret file. Must never be lost: the records, or their keys have no limits and sign nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from troth.kit.log import get_logger
from troth.pki.keys.files import private_directory, remove_partials, write_private
from troth.pki.keys.model import KeyMetadata

log = get_logger("pki")

_FORMAT = "troth-held-key-1"
_MAKING = ".making"


@dataclass(frozen=True, slots=True)
class Record:
    """A key held elsewhere.

    Attributes:
        metadata: what Troth knows and promises of it.
        handle: how its custodian finds it: an object's id, a key's resource name.
    """

    metadata: KeyMetadata
    handle: Mapping[str, str]


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metadata: KeyMetadata
    handle: dict[str, str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``content`` stays the bytes that were authenticated, whatever fields later versions add."""

    format: str
    content: msgspec.Raw
    mac: bytes


class Records:
    """The records of one data directory. Written by the signer's slow lane, one writer at a time."""

    def __init__(self, data: Path, secret: bytes) -> None:
        self._directory = private_directory(data / "keys" / "held")
        derivation = HKDF(hashes.SHA256(), length=32, salt=None, info=b"troth keystore: held key record")
        self._key = derivation.derive(secret)
        remove_partials(self._directory)

    def write(self, record: Record) -> None:
        """Keep ``record``; it is durable when this returns."""
        content = msgspec.json.encode(_Content(record.metadata, dict(record.handle)))
        file = _File(_FORMAT, msgspec.Raw(content), self._mac(content))
        write_private(self._path(record.metadata.key_id), msgspec.json.encode(file))
        self.end(record.metadata.key_id)

    def begin(self, key_id: str, custodian: str) -> None:
        """Note durably that ``custodian`` is about to make a key: one that dies in between leaves it without record."""
        write_private(self._directory / f"{key_id}{_MAKING}", custodian.encode())

    def end(self, key_id: str) -> None:
        """It was written down, or was not made."""
        (self._directory / f"{key_id}{_MAKING}").unlink(missing_ok=True)

    def unfinished(self, custodian: str) -> list[str]:
        """Keys that ``custodian`` was to make and that have no record."""
        found = []
        for path in sorted(self._directory.glob(f"*{_MAKING}")):
            key_id = path.name.removesuffix(_MAKING)
            with suppress(OSError):
                if path.read_bytes() == custodian.encode() and not self._path(key_id).exists():
                    found.append(key_id)
        return found

    def read(self) -> Iterator[tuple[str, Record | None]]:
        """(key id, record) of all files; None for one that is not as it was written, which is reported."""
        for path in sorted(self._directory.glob("*.json")):
            try:
                yield path.stem, self._load(path)
            except (OSError, ValueError) as error:
                log.error("key.damaged", key_id=path.stem, error=type(error).__name__)
                yield path.stem, None

    def _load(self, path: Path) -> Record:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        raw = bytes(file.content)
        if file.format != _FORMAT or not hmac.compare_digest(file.mac, self._mac(raw)):
            raise ValueError("the record is not as it was written")
        content = msgspec.json.decode(raw, type=_Content)
        if content.metadata.key_id != path.stem:
            raise ValueError("the record is another key's")
        return Record(content.metadata, content.handle)

    def _path(self, key_id: str) -> Path:
        return self._directory / f"{key_id}.json"

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key, _FORMAT.encode() + b"\x00" + content, "sha256")
