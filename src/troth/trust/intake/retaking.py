"""Taking a signal again that once named nobody we knew, or several: by the inbox, under a message id of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from troth.kit.ids import new_id
from troth.store.unit import Unit
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.intake.unresolved_store import Unresolved
from troth.trust.signals.codec import decode, encode, urgency
from troth.trust.signals.model import Whom


def retake(unit: Unit, one: Unresolved, *, by: str, at: datetime, subject_id: UUID | None = None) -> None:
    """Add the writes that settle ``one`` and have it taken again.

    ``subject_id``: whom a person has said that it means; without it the name is looked up once more, and proves no more
    than it did.
    """
    signal = decode(one.body)
    whom = signal.whom if subject_id is None else Whom(id=subject_id)
    again = replace(signal, whom=whom, message_id=f"replay:{one.signal_id}")
    unresolved_store.settle(unit, one.signal_id, by=by, subject_id=subject_id, at=at)
    inbox_store.add(
        unit, id=new_id(), feed=one.feed, message_id=again.message_id, body=encode(again), severity=urgency(again),
        at=at,
    )  # fmt: skip
