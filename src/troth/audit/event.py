"""An event of the ledger, and how it becomes bytes.

The payload is canonical JSON; the Merkle entry is SHA-256(salt ‖ payload), so a payload can be erased by law and the
tree still verifies (the salt keeps an erased payload from being guessed).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.audit.inbox_store import INBOX
from troth.kit.canonical import Json, canonical_json
from troth.kit.clock import ledger_time
from troth.kit.ids import new_id
from troth.store.statement import Write

#: Events that decision points must hear of at once: what changes the answer about a certificate or a subject.
URGENT_KINDS = frozenset(
    {"certificate.held", "certificate.released", "certificate.revoked", "certificate.burnt", "standing.changed"}
)


class Event(msgspec.Struct, frozen=True):
    """One thing that happened, before it has a place in the log.

    Attributes:
        kind: dotted past tense: ``certificate.issued``.
        actor: who did it: ``system:gate``, ``admin:alice``, ``acme:<account id>``, ``feed:edr``.
        subjects: references to what it is about, for timelines: ``certificate:<uuid>``, ``subject:<uuid>``.
        data: JSON without floats; times as ISO 8601. Never a secret, a key or a challenge token.
    """

    kind: str
    actor: str
    subjects: tuple[str, ...] = ()
    data: Mapping[str, Json] = msgspec.field(default_factory=dict)

    @property
    def urgent(self) -> bool:
        """See :class:`troth.store.unit.Recordable`."""
        return self.kind in URGENT_KINDS

    def inbox_row(self, *, unit: UUID, at: datetime) -> tuple[Write, tuple[Any, ...]]:
        """See :class:`troth.store.unit.Recordable`."""
        identifier = new_id()
        payload = canonical_json(
            {
                "id": str(identifier),
                "unit": str(unit),
                "at": ledger_time(at),
                "kind": self.kind,
                "actor": self.actor,
                "subjects": list(self.subjects),
                "data": dict(self.data),
            }
        )
        return INBOX, (identifier, at, payload, os.urandom(16))


class StreamEvent(msgspec.Struct, frozen=True):
    """An event with its place in the log.

    Attributes:
        index: gapless from 0.
        unit: the write unit it was committed in; events of one unit belong together.
    """

    index: int
    id: UUID
    unit: UUID
    recorded_at: datetime
    kind: str
    actor: str
    subjects: tuple[str, ...]
    data: Mapping[str, Any]


def entry_hash(salt: bytes, payload: bytes) -> bytes:
    """The 32-byte Merkle entry of an event: SHA-256(salt ‖ payload)."""
    return hashlib.sha256(salt + payload).digest()


def parse_payload(index: int, payload: bytes) -> StreamEvent:
    """An event from its canonical payload. Raises ValueError if it is not one."""
    try:
        value = _payload.decode(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no event: {error}") from error
    return StreamEvent(
        index, value.id, value.unit, value.at, value.kind, value.actor, tuple(value.subjects), value.data
    )


class _Payload(msgspec.Struct):
    id: UUID
    unit: UUID
    at: datetime
    kind: str
    actor: str
    subjects: list[str]
    data: dict[str, Any]


_payload = msgspec.json.Decoder(_Payload)
