"""Writing down what is heard. One record is an id, made here, and MessagePack; a repetition is folded once.

What comes by the admission journal is JSON there, and stays so here: the two are told apart by the first octet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.radius.sessions import inbox_store
from troth.radius.sessions.model import Admitted, Heard, Told, Withdrawn
from troth.store.unit import Unit

#: Woken when something was written down; whoever folds listens.
INBOX_CHANNEL: Final = "troth_radius_inbox"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Told | Admitted | Withdrawn)
_json = msgspec.json.Decoder(Told | Admitted | Withdrawn)
_encode_json = msgspec.json.Encoder().encode
#: How the journal calls what an Accept tells, and that there will be none.
NOTE: Final = "radius.session"


def write(unit: Unit, heard: Sequence[Heard], at: datetime) -> Unit:
    """Add records to ``unit``."""
    for one in heard:
        unit.write(inbox_store.HEARD, new_id(), _encoder.encode(one), at)
    return unit


def note(heard: Admitted | Withdrawn) -> tuple[str, bytes]:
    """A record as it is written into the admission journal."""
    return NOTE, _encode_json(heard)


def taker(clock: Clock) -> Callable[[Unit, Sequence[bytes]], Awaitable[None]]:
    """Who stores what the journal brings (:data:`troth.trust.connecting.journal_drain.Taker`)."""

    async def take(unit: Unit, notes: Sequence[bytes]) -> None:
        at = clock.now()
        for body in notes:
            unit.write(inbox_store.HEARD, new_id(), body, at)

    return take


def read(body: bytes) -> Heard:
    """A record as it was written. Raises msgspec.MsgspecError for what is none (of another version of Troth)."""
    found: Heard = _json.decode(body) if body[:1] == b"[" else _decoder.decode(body)
    return found
