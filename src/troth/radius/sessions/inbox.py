"""Writing down what is heard. One record is an id, made here, and MessagePack; a repetition is folded once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from troth.kit.ids import new_id
from troth.radius.sessions import inbox_store
from troth.radius.sessions.model import Admitted, Heard, Told
from troth.store.unit import Unit

#: Woken when something was written down; whoever folds listens.
INBOX_CHANNEL: Final = "troth_radius_inbox"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Told | Admitted)


def write(unit: Unit, heard: Sequence[Heard], at: datetime) -> Unit:
    """Add records to ``unit``."""
    for one in heard:
        unit.write(inbox_store.HEARD, new_id(), _encoder.encode(one), at)
    return unit


def read(body: bytes) -> Heard:
    """A record as it was written. Raises msgspec.MsgspecError for what is none (of another version of Troth)."""
    found: Heard = _decoder.decode(body)
    return found
