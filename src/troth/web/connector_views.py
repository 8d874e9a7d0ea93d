"""Connectors, and what they said that nobody could be told of, as API and pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct


class ReadView(Struct, frozen=True, kw_only=True):
    """One thing that a connector reads. ``state``: ``reading``, ``failing``, or ``waiting`` before the first time."""

    name: str
    state: str
    last_at: datetime | None
    latency_ms: int | None
    signals: int
    facts: int
    observed_at: datetime | None
    failures: int
    failed_at: datetime | None
    code: str | None
    detail: str | None
    fix: str | None
    cursor: Any


class ConnectorView(Struct, frozen=True, kw_only=True):
    """A connector with its state.

    ``state``: ``paused``, ``incomplete`` (a secret is missing), ``failing``, ``waiting`` or ``reading``. ``kinds``: of
    secrets that it can have, with what each is.
    """

    name: str
    vendor: str
    title: str
    feed: str
    address: str
    client_id: str
    tenant: str
    state: str
    last_at: datetime | None
    lag_seconds: int | None
    signals: int
    failures: int
    missing: tuple[str, ...]
    secrets: dict[str, datetime]
    paused: bool
    reason: str
    push_url: str | None
    kinds: dict[str, str]
    reads: tuple[ReadView, ...]
    applied_at: datetime
    applied_by: str


class ProbeView(Struct, frozen=True, kw_only=True):
    """One read, tried with as little as possible. ``granted``: None if the question did not get that far."""

    read: str
    scope: str
    granted: bool | None
    milliseconds: int
    code: str | None
    detail: str
    fix: str


class TestView(Struct, frozen=True, kw_only=True):
    """What a test found."""

    connector: str
    vendor: str
    address: str
    good: bool
    skew_seconds: float | None
    probes: tuple[ProbeView, ...]


class WouldBeView(Struct, frozen=True, kw_only=True):
    """What a sample message would become. ``whom``: as the signal names it; ``subject``: whom that is, if anyone."""

    kind: str
    effect: str
    level: str
    severity: int
    whom: str
    subject: str | None
    several: bool
    cause: str
    observed_at: datetime
    message_id: str
    evidence: str


class UnresolvedView(Struct, frozen=True, kw_only=True):
    """A signal about nobody we know, or about several."""

    id: UUID
    feed: str
    kind: str
    effect: str
    system: str
    value: str
    several: bool
    observed_at: datetime
    at: datetime
    evidence: str


class StrangerView(Struct, frozen=True, kw_only=True):
    """Somebody of whom a feed reports and whom we do not know, or cannot tell from others."""

    feed: str
    system: str
    value: str
    several: bool
    first_at: datetime
    last_at: datetime
    reports: int


class RefusedView(Struct, frozen=True, kw_only=True):
    """A signal that was accepted and then refused. ``readable``: whether it can be taken again."""

    id: UUID
    feed: str
    message_id: str
    code: str
    detail: str
    fix: str
    accepted_at: datetime
    readable: bool
    body: Any


class BoundView(Struct, frozen=True, kw_only=True):
    """A name that a person has bound, and how many signals are taken again."""

    system: str
    value: str
    subject: UUID
    signals: int
