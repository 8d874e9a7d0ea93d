"""Networks, and what happened when somebody wanted to join one, as API and pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct


class NetworkView(Struct, frozen=True, kw_only=True):
    """A network. ``definition``: as it was applied; ``matches``, ``admits``, ``breaker``: the same in words."""

    name: str
    description: str
    matches: tuple[str, ...]
    admits: tuple[str, ...]
    places: dict[str, str]
    stale: str
    breaker: str
    definition: dict[str, Any]
    version: int
    applied_at: datetime
    applied_by: str


class ForeignCrlView(Struct, frozen=True, kw_only=True):
    """A revocation list of somebody else's."""

    anchor: str
    issuer: str
    number: str
    this_update: datetime
    next_update: datetime
    in_force: bool
    entries: int
    taken_at: datetime
    taken_by: str


class StepView(Struct, frozen=True, kw_only=True):
    """One line of a timeline: milliseconds since the conversation began."""

    at: int
    said: str


class CrlSourceView(Struct, frozen=True, kw_only=True):
    """Where a foreign revocation list is fetched from. ``origin``: ``document`` or ``certificate``."""

    anchor: str
    url: str
    origin: str
    state: str
    error: str
    failures: int
    checked_at: datetime | None
    due: datetime


class ConversationView(Struct, frozen=True, kw_only=True):
    """One attempt to join a network.

    ``reason``: a code, ``summary``: what it means, ``fix``: what to do about it. ``identity``: the outer one, which
    nobody has proved. ``marks``: decided on old news, by the breaker, without a check of revocation.
    """

    id: UUID
    at: datetime
    network: str | None
    nas: str
    nas_address: str
    method: str
    outcome: str
    reason: str
    summary: str
    fix: str
    detail: str
    mac: str | None
    ssid: str | None
    port_type: str | None
    port: str | None
    identity: str
    user_name: str
    serial: str
    sha256: str
    certificate_id: UUID | None
    subjects: tuple[UUID, ...]
    decisions: tuple[UUID, ...]
    tls: str
    resumed: bool
    place: str
    session_seconds: int | None
    correlation: str
    marks: tuple[str, ...]
    steps: tuple[StepView, ...]
