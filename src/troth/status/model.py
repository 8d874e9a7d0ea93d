"""What the status room knows of one certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from troth.pki.model import State, Status
from troth.pki.serial import SerialNumber


@dataclass(frozen=True, slots=True)
class Entry:
    """The status of one serial number as of ``version``.

    Attributes:
        version: ``status_version``; the greater one is the later one.
        at: when it took this status.
        reason: RFC 5280 reason code while not good.
        not_after: of the certificate.
    """

    serial: SerialNumber
    authority: str
    status: Status
    version: int
    at: datetime
    reason: int | None
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the database: the entry, and whether the certificate exists, is only reserved, or was burnt."""

    entry: Entry
    state: State


def entry_from_event(data: Mapping[str, Any]) -> Entry:
    """The status that a certificate's ledger event carries (``troth.pki.events``)."""
    return Entry(
        serial=SerialNumber(bytes.fromhex(data["serial"])),
        authority=data["authority"],
        status=data["status"],
        version=data["status_version"],
        at=datetime.fromisoformat(data["status_at"]),
        reason=data["reason"],
        not_after=datetime.fromisoformat(data["not_after"]),
    )


@dataclass(frozen=True, slots=True)
class OutFigures:
    """A stream to a receiver of our shared signals. ``oldest``: since when the oldest token waits."""

    id: str
    receiver: str
    status: str
    waiting: int
    oldest: datetime | None
