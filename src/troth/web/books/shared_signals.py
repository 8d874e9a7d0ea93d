"""Streams of shared signals, and events that wait for a person, as pages and API show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from troth.access.model import Principal
from troth.connect.ssf import event_store
from troth.connect.ssf.event_store import TakenEvent, WideEvent
from troth.connect.ssf.events import REQUESTED, TYPES
from troth.connect.ssf.managing import StreamManager
from troth.connect.ssf.model import Stream
from troth.connect.ssf.streams import StreamDesk
from troth.connect.ssf.wide import Reach, WideDesk
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.web.books.receivers import ReceiverBook
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page


class StreamView(Struct, frozen=True, kw_only=True):
    """One stream.

    Attributes:
        state: ``planned``, ``enabled``, ``paused``, ``disabled``, or ``late`` where it should have been heard.
        push_url: where the transmitter delivers; empty for a stream that is polled.
        events: types that the transmitter says it delivers, or that were asked for.
        awaited: verifications that were asked for and have not come.
        counts: outcome → how many tokens.
    """

    name: str
    feed: str
    issuer: str
    delivery: str
    dialect: str
    managed: bool
    state: str
    status_reason: str
    remote_id: str
    push_url: str
    audience: tuple[str, ...]
    events: tuple[str, ...]
    has_secret: bool
    verified_at: datetime | None
    heard_at: datetime | None
    awaited: int
    error: str
    error_at: datetime | None
    applied_at: datetime
    applied_by: str
    counts: dict[str, int]


class TokenView(Struct, frozen=True):
    """One token that was taken."""

    jti: str
    type: str
    outcome: str
    detail: str
    issued_at: datetime
    received_at: datetime


class WideView(Struct, frozen=True, kw_only=True):
    """An event about many at once. ``subjects``: how many acting on it would be about."""

    id: UUID
    stream: str
    feed: str
    type: str
    subject: str
    signals: tuple[str, ...]
    fields: dict[str, str]
    observed_at: datetime
    received_at: datetime
    state: str
    subjects: int


class StreamBook:
    """Looking at streams, and what a person does with them. Raises what the rooms below raise."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        desk: StreamDesk,
        manager: StreamManager,
        wide: WideDesk,
        receivers: ReceiverBook,
    ) -> None:
        self.receivers = receivers
        self._database = database
        self._clock = clock
        self.desk = desk
        self._manager = manager
        self.wide = wide

    async def list(self) -> Sequence[StreamView]:
        """Every stream, by name."""
        counts = await event_store.counts(self._database)
        return [self._view(one, counts) for one in await self.desk.streams()]

    async def get(self, name: str) -> StreamView:
        """One stream. Raises StreamUnknown."""
        return self._view(await self.desk.stream(name), await event_store.counts(self._database))

    async def tokens(self, name: str, cursor: str, limit: int) -> Page[TokenView]:
        """What came over a stream, the newest first. Raises StreamUnknown, WebError for a cursor that is not ours."""
        await self.desk.stream(name)
        before = parse_id(cursor) if cursor else None
        if cursor and before is None:
            raise WebError(MALFORMED, "the cursor is none of ours")
        found = await event_store.newest(self._database, name, before=before, limit=limit + 1)
        shown = found[:limit]
        return Page([_token(one) for one in shown], str(shown[-1].id) if len(found) > limit else None)

    async def set_secret(self, name: str, secret: str, by: Principal) -> StreamView:
        """Keep the credential by which the transmitter knows us."""
        await self.desk.set_secret(name, secret, actor=by.actor)
        return await self.get(name)

    async def new_header(self, name: str, by: Principal) -> str:
        """A new authorization header for a stream that was set up by hand, told once."""
        return await self.desk.new_header(name, actor=by.actor)

    async def connect(self, name: str, by: Principal, *, replace: bool = False) -> StreamView:
        """Make the stream at its transmitter, or bring it into the defined form."""
        await (self._manager.replace if replace else self._manager.connect)(name, actor=by.actor)
        return await self.get(name)

    async def refresh(self, name: str) -> StreamView:
        """Ask the transmitter how it has the stream."""
        await self._manager.refresh(name)
        return await self.get(name)

    async def verify(self, name: str, by: Principal) -> StreamView:
        """Ask for a verification event."""
        await self._manager.verify(name, actor=by.actor)
        return await self.get(name)

    async def set_status(self, name: str, status: str, reason: str, by: Principal) -> StreamView:
        """Pause, disable or enable it at its transmitter."""
        await self._manager.set_status(name, status, actor=by.actor, reason=reason)
        return await self.get(name)

    async def subject(self, name: str, subject: Mapping[str, Any], by: Principal, *, add: bool) -> None:
        """Ask for events about a subject, or for none any more."""
        await self._manager.subject(name, subject, add=add, actor=by.actor)

    async def delete(self, name: str, by: Principal, *, only_here: bool) -> None:
        """End it at its transmitter and here."""
        await self._manager.delete(name, actor=by.actor, only_here=only_here)

    async def waiting(self) -> Sequence[WideView]:
        """Events about many at once that wait for a person, the oldest first."""
        return [_wide(one, -1) for one in await self.wide.waiting()]

    async def reach(self, id: UUID) -> WideView:
        """One of them, with what acting on it would hit."""
        found: Reach = await self.wide.reach(id)
        return _wide(found.event, found.subjects)

    async def dismiss(self, id: UUID, by: Principal) -> None:
        """Drop one."""
        await self.wide.dismiss(id, actor=by.actor)

    def _view(self, stream: Stream, counts: Mapping[tuple[str, str], int]) -> StreamView:
        definition, known = stream.definition, stream.configuration
        return StreamView(
            name=stream.name,
            feed=definition.feed,
            issuer=definition.issuer,
            delivery=definition.delivery,
            dialect=definition.dialect,
            managed=definition.managed,
            state="late" if stream.status == "enabled" and stream.late(self._clock.now()) else stream.status,
            status_reason=stream.status_reason,
            remote_id=known.stream_id if known else "",
            push_url=self._manager.push_url(stream.name) if definition.delivery == "push" else "",
            audience=tuple(sorted(stream.audiences)),
            events=tuple(
                TYPES[uri].name if uri in TYPES else uri
                for uri in (known.events_delivered if known else definition.events or REQUESTED)
            ),
            has_secret=stream.secret is not None,
            verified_at=stream.verified_at,
            heard_at=stream.heard_at,
            awaited=len(stream.verifications),
            error=stream.error,
            error_at=stream.error_at,
            applied_at=stream.applied_at,
            applied_by=stream.actor,
            counts={outcome: number for (name, outcome), number in counts.items() if name == stream.name},
        )


def _token(one: TakenEvent) -> TokenView:
    known = TYPES.get(one.type)
    return TokenView(
        one.jti, known.name if known else one.type, one.outcome, one.detail, one.issued_at, one.received_at
    )


def _wide(one: WideEvent, subjects: int) -> WideView:
    known = TYPES.get(one.type)
    return WideView(
        id=one.id, stream=one.stream, feed=one.feed, type=known.name if known else one.type, subject=one.subject,
        signals=tuple(kind for kind, _ in one.signals), fields=dict(one.fields), observed_at=one.observed_at,
        received_at=one.received_at, state=one.state, subjects=subjects,
    )  # fmt: skip
