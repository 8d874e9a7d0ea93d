"""The mint's ledger events. Followers of the trust stream read certificate status from these and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import ledger_time
from troth.pki.model import Status
from troth.pki.serial import SerialNumber

#: What is about to be signed is written down.
RESERVED = "certificate.reserved"


def certificate_event(
    kind: str,
    *,
    actor: str,
    certificate_id: UUID,
    serial: SerialNumber,
    authority: str,
    status: Status,
    status_version: int,
    status_at: datetime,
    reason: int | None,
    not_after: datetime,
    subjects: Sequence[UUID] = (),
    decision_id: UUID | None = None,
    more: dict[str, Json] | None = None,
) -> Event:
    """An event of one certificate. Every kind carries the whole status, so that a follower keeps the greatest
    ``status_version`` it has seen and may miss, repeat or reorder the rest.

    What is reserved stands in the timeline of its certificate alone: authority, subjects and decision hear of it when
    it is issued or burnt. Each reference is a row of an index."""
    references = [f"certificate:{certificate_id}"]
    if kind != RESERVED:
        references += [f"authority:{authority}", *(f"subject:{subject}" for subject in subjects)]
        if decision_id is not None:
            references.append(f"decision:{decision_id}")
    data: dict[str, Json] = {
        "certificate_id": str(certificate_id),
        "serial": serial.hex(),
        "authority": authority,
        "status": status,
        "status_version": status_version,
        "status_at": ledger_time(status_at),
        "reason": reason,
        "not_after": ledger_time(not_after),
    }
    return Event(kind, actor, tuple(references), data | (more or {}))
