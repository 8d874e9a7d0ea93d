"""What the notary keeps, read from its files by somebody else: for verification without the signer, and for a restore,
which brings the notary forward to what it had signed, or gives the log a new name. Never while a signer runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from troth.audit.note import NoteKey
from troth.pki.algorithms import key_bits
from troth.pki.keys.files import write_private
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


def notary_size(data: Path) -> int:
    """The size of the last checkpoint that the notary of ``data`` signed. Raises NotaryUnsafe."""
    return int(_whole(data)["size"])


def bring_forward(data: Path, *, size: int, frontier: Sequence[bytes], root: bytes, note: str, at: datetime) -> None:
    """Have the notary stand where it stood when it signed ``note``, which the caller has proved to be its own.

    Raises NotaryUnsafe when it stands further already: a notary never goes back.
    """
    state = _whole(data)
    if state["size"] > size:
        raise NotaryUnsafe(NOTARY_STATE, f"it stands at {state['size']}, further than {size}")
    moved = {"size": size, "frontier": tuple(frontier), "root": root, "at": at, "note": note}
    _write(data, state | moved)


def begin_anew(data: Path, origin: str) -> None:
    """Have the notary begin a log of the name ``origin``: for a ledger whose end was lost, since to sign on under the
    old name could contradict a checkpoint that somebody has seen."""
    state = _whole(data)
    _write(data, {"format": state["format"], "origin": origin, "key_id": state["key_id"]})


def _whole(data: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = msgspec.json.decode((data / "notary.json").read_bytes(), type=dict[str, Any])
        return {**state, "size": int(state["size"])}
    except (OSError, msgspec.MsgspecError, KeyError, ValueError) as error:
        raise NotaryUnsafe(NOTARY_STATE, f"{data}: {error}") from error


def _write(data: Path, state: dict[str, Any]) -> None:
    write_private(data / "notary.json", msgspec.json.encode(state))
