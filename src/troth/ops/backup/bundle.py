"""Bundles: a run of events with their payloads, and beside them the rows that they changed. Sealed, one file each.

A recipient's key is public, so anybody who can write there could seal a bundle. Events prove themselves by the notary's
checkpoints; rows do not. Therefore a bundle carries a MAC under a secret that only the installation and its archives
have (``secrets/shipping.secret``).

Named by the index of the first event in sixteen digits, in folders of a million, so that names sort and a replay
begins where the archive ends.
"""

from __future__ import annotations

import hmac
import zlib
from datetime import datetime
from typing import Any

import msgspec

from troth.ops.backup.errors import TILES, RestoreRefused
from troth.ops.backup.sealing import Opener, Seal

BUNDLE_FORMAT = "troth-bundle/1"
FOLDER = "bundle"
_LARGEST = 1 << 30
_MAC = 32


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One event; without payload and salt where they were erased."""

    index: int
    payload: bytes | None
    salt: bytes | None
    leaf: bytes


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """An event that was committed and had no index yet."""

    id: str
    recorded_at: str
    payload: bytes
    salt: bytes


class Image(msgspec.Struct, frozen=True):
    """Rows of one table: those that are there now for ``keys``, so a key without a row has none any more."""

    keys: list[str]
    rows: list[dict[str, Any]]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of shipping, read in one snapshot.

    Attributes:
        start, end: indexes of the events; ``end`` is not among them.
        migration: the newest of the schema that the images are of.
        note: the newest checkpoint in the snapshot over at most ``end`` events, with its size and time.
        images, whole: see ``coverage``.
    """

    format: str
    origin: str
    start: int
    end: int
    made_at: datetime
    migration: int
    events: list[Event]
    waiting: list[Waiting]
    note: tuple[int, str, datetime] | None
    images: dict[str, Image]
    whole: dict[str, list[dict[str, Any]]]


def bundle_name(start: int) -> str:
    """Where the bundle that begins with event ``start`` lies."""
    return f"{FOLDER}/{start // 1_000_000:010}/{start:016}"


def seal_bundle(bundle: Bundle, seal: Seal, secret: bytes) -> bytes:
    """The file."""
    packed = zlib.compress(msgspec.msgpack.encode(bundle), 3)
    return seal.bytes(_mac(packed, secret) + packed)


def open_bundle(content: bytes, opener: Opener, secret: bytes) -> Bundle:
    """The bundle. Raises BackupRefused when it is not for us or damaged, RestoreRefused when it is none of ours."""
    opened = opener.bytes(content)
    if not hmac.compare_digest(opened[:_MAC], _mac(opened[_MAC:], secret)):
        raise RestoreRefused(TILES, "a bundle was not made by this installation")
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(opened[_MAC:], _LARGEST)
        bundle = msgspec.msgpack.decode(plain, type=Bundle)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise RestoreRefused(TILES, f"a bundle cannot be read: {error}") from error
    if bundle.format != BUNDLE_FORMAT or bundle.end - bundle.start != len(bundle.events):
        raise RestoreRefused(TILES, f"a bundle is of format {bundle.format}")
    return bundle


def _mac(packed: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, BUNDLE_FORMAT.encode() + packed, "sha256")
