"""Streams as people define them: applied from YAML, given their credentials, found by name.

What a transmitter has to agree to is ``managing``'s; the worker connects what was defined here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from troth.audit.event import Event
from troth.connect.ssf import event_store, store
from troth.connect.ssf.errors import STREAM_UNKNOWN, TRANSMITTER_CREDENTIAL, StreamUnknown, TransmitterFailed
from troth.connect.ssf.model import Stream, StreamDefinition
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced
from troth.trust.feeds import feed_store
from troth.trust.signals.errors import FEED_UNKNOWN, FeedUnknown


@dataclass(frozen=True, slots=True)
class AppliedStream:
    """One definition, and what applying it does."""

    definition: StreamDefinition
    change: Applied


class StreamDesk:
    """The streams of this installation, and their secrets."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox) -> None:
        self._database = database
        self._clock = clock
        self._box = box

    async def streams(self) -> list[Stream]:
        """Every stream, by name."""
        return await store.all_streams(self._database)

    async def find(self, name: str) -> Stream | None:
        """The stream of that name, if there is one."""
        return await store.find_stream(self._database, name)

    async def stream(self, name: str) -> Stream:
        """The stream of that name. Raises StreamUnknown."""
        found = await self.find(name)
        if found is None:
            raise unknown(name)
        return found

    async def preview(
        self, definitions: Sequence[StreamDefinition], *, coming: Collection[str] = ()
    ) -> list[AppliedStream]:
        """What :meth:`apply` would do; ``coming``: feeds that are applied before it.

        Raises FeedUnknown if a stream would speak for no feed.
        """
        known = {*coming, *(feed.name for feed in await feed_store.all_feeds(self._database))}
        for one in definitions:
            if one.feed not in known:
                raise FeedUnknown(FEED_UNKNOWN, f"stream {one.name!r} speaks for {one.feed!r}", feed=one.feed)
        present = {stream.name: stream.definition for stream in await self.streams()}
        return [_compare(one, present.get(one.name)) for one in definitions]

    async def apply(
        self, definitions: Sequence[StreamDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedStream]:
        """Bring the streams into the defined form, all or none; others stay. The worker connects them soon after."""
        while True:
            results = await self.preview(definitions)
            at, unit = self._clock.now(), Unit()
            for one in results:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    store.create(unit, one.definition, at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(store.LOCK_STREAM, name, refuse=unknown(name), key=("ssf_stream", name))
                    store.define(unit, one.definition, at=at, actor=actor)
                if one.change is not Applied.UNCHANGED:
                    unit.record(event("ssf.stream_applied", actor, one.definition, change=one.change.value))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return results

    async def set_secret(self, name: str, secret: str, *, actor: str) -> None:
        """Keep the credential by which the transmitter knows us. Raises StreamUnknown."""
        stream = await self.stream(name)
        unit = locked(name)
        store.set_secret(unit, name, self._box.seal(name, secret.encode()))
        unit.record(event("ssf.secret_set", actor, stream.definition))
        await self._database.commit(unit)

    async def new_header(self, name: str, *, actor: str) -> str:
        """A new authorization header for deliveries, told once; the former one is taken until the next change.

        For a stream that was set up by hand: a stream that we make is told its header when it is connected.
        """
        stream = await self.stream(name)
        header, digest = new_header()
        unit = locked(name)
        store.set_header(unit, name, digest)
        unit.record(event("ssf.header_changed", actor, stream.definition))
        await self._database.commit(unit)
        return header

    def credential(self, stream: Stream) -> bytes:
        """The client secret, private key or token, opened. Raises TransmitterFailed if there is none."""
        if stream.secret is None:
            raise TransmitterFailed(TRANSMITTER_CREDENTIAL, f"the stream {stream.name} has no secret yet")
        return self._box.open(stream.name, stream.secret)

    async def forget(self, keep: timedelta) -> None:
        """Drop tokens that are too old to be taken again."""
        while await event_store.forget(self._database, self._clock.now() - keep):
            pass


def locked(name: str) -> Unit:
    """A unit that has the stream for itself; committing it raises StreamUnknown if there is none."""
    return Unit().guard(store.LOCK_STREAM, name, refuse=unknown(name), key=("ssf_stream", name))


def new_header() -> tuple[str, bytes]:
    """An authorization header for deliveries, and by which it is known again."""
    header = f"Bearer {secrets.token_urlsafe(32)}"
    return header, header_digest(header)


def header_digest(header: str) -> bytes:
    """By which a header is known: what has 256 random bits needs no salt and no slow hash."""
    return hashlib.sha256(header.encode()).digest()


def _compare(wanted: StreamDefinition, present: StreamDefinition | None) -> AppliedStream:
    change = Applied.CREATED if present is None else Applied.UNCHANGED if present == wanted else Applied.CHANGED
    return AppliedStream(wanted, change)


def unknown(name: str) -> StreamUnknown:
    """No such stream, to raise."""
    return StreamUnknown(STREAM_UNKNOWN, f"there is no stream {name[:80]!r}", stream=name[:80])


def event(kind: str, actor: str, definition: StreamDefinition, **data: Json) -> Event:
    """A ledger event about a stream."""
    known: dict[str, Json] = {"stream": definition.name, "feed": definition.feed, "issuer": definition.issuer}
    return Event(kind, actor, (f"ssf_stream:{definition.name}", f"feed:{definition.feed}"), known | data)
