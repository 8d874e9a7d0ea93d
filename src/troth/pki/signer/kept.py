"""What the notary keeps, read from its files by somebody else: for verification without the signer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.audit.note import NoteKey
from troth.pki.algorithms import key_bits
from troth.pki.keys.model import KeyMetadata
from troth.pki.signer.errors import NOTARY_STATE, NotaryUnsafe


class _State(msgspec.Struct, frozen=True):
    origin: str
    key_id: str
    note: str | None = None


class _KeyFile(msgspec.Struct, frozen=True):
    metadata: KeyMetadata


@dataclass(frozen=True, slots=True)
class Kept:
    """The notary's public key, and the last checkpoint it signed (None before the first)."""

    key: NoteKey
    note: str | None


def read_kept(data: Path) -> Kept:
    """What the notary of the data directory ``data`` keeps. Raises NotaryUnsafe when it cannot be read."""
    try:
        state = msgspec.json.decode((data / "notary.json").read_bytes(), type=_State)
        key = msgspec.json.decode((data / "keys" / f"{state.key_id}.json").read_bytes(), type=_KeyFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotaryUnsafe(NOTARY_STATE, f"{data}: {error}") from error
    return Kept(NoteKey(state.origin, key_bits(key.metadata.public_key)), state.note)
