"""Connectors and what nobody could be told of, turned into views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.access.model import Principal
from troth.connect.connector import FORMER
from troth.connect.connector_store import ReadState
from troth.connect.desk import Book, ConnectorDesk
from troth.connect.errors import NOT_TRIED, ConnectorError
from troth.connect.testing import examine
from troth.connect.vendors import address_of
from troth.kit.clock import Clock
from troth.kit.errors import TrothError, registered_reasons
from troth.kit.lane import Request
from troth.store.pool import Database
from troth.trust.intake.inbox_store import Waiting
from troth.trust.intake.unresolved import UnresolvedDesk
from troth.trust.signals import alias_store
from troth.trust.signals.codec import decode
from troth.trust.signals.model import Signal
from troth.trust.subjects.whom import Subjects
from troth.web.connector_views import (
    BoundView,
    ConnectorView,
    ProbeView,
    ReadView,
    RefusedView,
    StrangerView,
    TestView,
    UnresolvedView,
    WouldBeView,
)
from troth.web.errors import NotFound


class Connectors:
    """Looking at connectors, and keeping them."""

    def __init__(self, database: Database, clock: Clock, desk: ConnectorDesk, public_url: str) -> None:
        self._database = database
        self._clock = clock
        self._desk = desk
        self._public_url = public_url

    async def list(self) -> Sequence[ConnectorView]:
        """By name."""
        return [self._view(one) for one in await self._desk.book()]

    async def get(self, name: str) -> ConnectorView:
        """One of them. Raises NotFound."""
        found = next((one for one in await self.list() if one.name == name), None)
        if found is None:
            raise NotFound(f"there is no connector {name[:80]!r}")
        return found

    async def test(self, name: str) -> TestView:
        """Ask it for as little as possible of everything that it reads. Raises ConnectorError."""
        found = await examine(self._desk, self._clock, name)
        return TestView(
            connector=found.connector, vendor=found.vendor, address=found.address, good=found.good,
            skew_seconds=None if found.skew is None else round(found.skew.total_seconds(), 1),
            probes=tuple(
                ProbeView(read=one.read, scope=one.scope, granted=one.granted, milliseconds=one.milliseconds,
                          code=one.code, detail=one.detail, fix=one.fix)
                for one in found.probes
            ),
        )  # fmt: skip

    async def set_secret(self, name: str, kind: str, secret: bytes, by: Principal, *, leaked: bool = False) -> str:
        """Take a secret; returns its kind. Raises ConnectorError."""
        return await self._desk.set_secret(name, kind, secret, actor=by.actor, leaked=leaked)

    async def pause(self, name: str, *, paused: bool, reason: str, by: Principal) -> None:
        """Stop it, or let it go on. Raises ConnectorUnknown."""
        await self._desk.pause(name, paused=paused, reason=reason, actor=by.actor)

    async def reread(self, name: str, by: Principal) -> None:
        """Have everything read again. Raises ConnectorUnknown."""
        await self._desk.reread(name, actor=by.actor)

    async def remove(self, name: str, by: Principal) -> None:
        """Forget it with its secrets. Raises ConnectorUnknown."""
        await self._desk.remove(name, actor=by.actor)

    async def tried(self, name: str, body: bytes) -> Sequence[WouldBeView]:
        """What a sample message would become; nothing is written. Raises ConnectorError."""
        stored = await self._desk.find(name)
        made = await self._desk.opener.open(stored)
        try:
            preview = getattr(made.connector, "preview", None)
            if preview is None:
                raise ConnectorError(NOT_TRIED, f"{made.vendor.title} has no mapping of one's own")
            path = f"/connect/{stored.definition.vendor}/{name}"
            signals = preview(Request("POST", path, path.encode(), b"", (), {}, body))
            return [await self._would_be(one) for one in signals]
        finally:
            await made.close()

    async def _would_be(self, signal: Signal) -> WouldBeView:
        found = await alias_store.resolve(self._database, signal.whom)
        return WouldBeView(
            kind=signal.kind.name, effect=signal.effect.value, level=signal.level.value, severity=signal.severity,
            whom=str(signal.whom), subject=str(found.ids[0]) if len(found.ids) == 1 else None,
            several=len(found.ids) > 1, cause=signal.cause, observed_at=signal.observed_at,
            message_id=signal.message_id, evidence=signal.evidence,
        )  # fmt: skip

    def _view(self, one: Book) -> ConnectorView:
        definition, stored, now = one.stored.definition, one.stored, self._clock.now()
        reads = tuple(_read(state) for state in one.reads)
        last = max((read.last_at for read in reads if read.last_at is not None), default=None)
        failures = sum(read.failures for read in reads)
        vendor = self._desk.vendor(definition)
        if stored.paused:
            state = "paused"
        elif one.missing:
            state = "incomplete"
        else:
            state = "failing" if failures else "waiting" if last is None and reads == () else "reading"
        pushes = vendor is not None and vendor.pushes
        return ConnectorView(
            name=definition.name, vendor=definition.vendor, title=vendor.title if vendor else definition.vendor,
            feed=definition.feed, address=address_of(definition, vendor), client_id=definition.client_id,
            tenant=definition.tenant, state=state, last_at=last,
            lag_seconds=None if last is None else max(0, int((now - last).total_seconds())),
            signals=sum(read.signals for read in reads), failures=failures, missing=one.missing,
            secrets={kind: at for kind, at in one.secrets.items() if not kind.endswith(FORMER)},
            paused=stored.paused, reason=stored.reason,
            push_url=f"{self._public_url}/connect/{definition.vendor}/{definition.name}" if pushes else None,
            kinds=dict(vendor.secrets) if vendor else {}, reads=reads, applied_at=stored.applied_at,
            applied_by=stored.actor,
        )  # fmt: skip


class Unresolved:
    """Signals and reports about nobody, and signals that were refused."""

    def __init__(self, database: Database, desk: UnresolvedDesk, subjects: Subjects) -> None:
        self._database = database
        self._desk = desk
        self._subjects = subjects

    async def signals(self, before: UUID | None = None, *, limit: int = 50) -> Sequence[UnresolvedView]:
        """The newest first."""
        found = []
        for one in await self._desk.signals(before=before, limit=limit):
            signal = decode(one.body)
            found.append(
                UnresolvedView(
                    id=one.signal_id, feed=one.feed, kind=signal.kind.name, effect=signal.effect.value,
                    system=one.system, value=one.value, several=one.several, observed_at=signal.observed_at,
                    at=one.at, evidence=signal.evidence,
                )
            )  # fmt: skip
        return found

    async def strangers(self, before: datetime | None = None, *, limit: int = 50) -> Sequence[StrangerView]:
        """The latest first."""
        return [
            StrangerView(feed=one.feed, system=one.system, value=one.value, several=one.several,
                         first_at=one.first_at, last_at=one.last_at, reports=one.reports)
            for one in await self._desk.strangers(before=before, limit=limit)
        ]  # fmt: skip

    async def refused(self, before: UUID | None = None, *, limit: int = 50) -> Sequence[RefusedView]:
        """The newest first."""
        return [_refused(one) for one in await self._desk.refused(before=before, limit=limit)]

    async def bind(self, signal_id: UUID, subject: str, by: Principal) -> BoundView:
        """Say whom a signal means. Raises SignalError, TrustError."""
        found = await self._subjects.find(subject)
        done = await self._desk.bind(signal_id, found.id, actor=by.actor)
        return BoundView(system=done.system, value=done.value, subject=done.subject_id, signals=done.signals)

    async def bind_name(self, system: str, value: str, subject: str, by: Principal) -> BoundView:
        """Say whom a name of another system means. Raises SignalError, TrustError."""
        found = await self._subjects.find(subject)
        done = await self._desk.bind_name(system, value, found.id, actor=by.actor)
        return BoundView(system=done.system, value=done.value, subject=done.subject_id, signals=done.signals)

    async def set_aside(self, signal_id: UUID, note: str, by: Principal) -> None:
        """It means nobody here. Raises SignalError."""
        await self._desk.set_aside(signal_id, actor=by.actor, note=note)

    async def retry(self, id: UUID, by: Principal) -> None:
        """Have a refused one taken again."""
        await self._desk.retry(id, actor=by.actor)


def _read(one: ReadState) -> ReadView:
    state = "failing" if one.failures else "waiting" if one.pulled_at is None else "reading"
    return ReadView(
        name=one.read, state=state, last_at=one.pulled_at, latency_ms=one.latency_ms, signals=one.signals,
        facts=one.facts, observed_at=one.observed_at, failures=one.failures, failed_at=one.failed_at, code=one.code,
        detail=one.detail, fix=_fix(one.code), cursor=one.cursor,
    )  # fmt: skip


def _refused(one: Waiting) -> RefusedView:
    try:
        decode(one.body)
        readable = True
    except (TrothError, ValueError):
        readable = False
    body: Mapping[str, Any] = msgspec.json.decode(one.body)
    return RefusedView(
        id=one.id, feed=one.feed, message_id=one.message_id, code=one.refused or "", detail=one.detail or "",
        fix=_fix(one.refused) or "", accepted_at=one.accepted_at, readable=readable, body=body,
    )  # fmt: skip


def _fix(code: str | None) -> str | None:
    known = registered_reasons().get(code or "")
    return None if known is None else known.fix
