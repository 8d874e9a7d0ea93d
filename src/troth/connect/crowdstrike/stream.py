"""Falcon's event stream: the closest it has to a push. One consumer for each ``appId``; we know where it stands.

A pull waits for what comes and returns it with the offsets up to which it has read; only once these are durable does
the next pull go on. A stream whose place is another than the cursor says (a write that failed, another process) is
opened anew at the cursor. Offsets of a partition only grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from troth.connect.api import VendorApi, shaped
from troth.connect.connector import Pulled, Wiring, each
from troth.connect.crowdstrike import mapping
from troth.connect.crowdstrike.mapping import Event
from troth.connect.errors import ANSWER, CREDENTIALS, SCOPE, VENDOR_FAILED, ConnectorError
from troth.kit.canonical import Json
from troth.kit.http import Stream

_SCOPE: Final = "Event streams: read"
#: How long a pull waits for the first event, and then for the next.
_WAIT, _QUIET = 15.0, 0.25
_MOST: Final = 500
#: The stream sends a line end every few seconds when there is nothing to say.
_IDLE: Final = 90.0
_MAX_LINE: Final = 1 << 20
_REFRESH_EARLY: Final = 300.0
_PARTITION: Final = re.compile(r"/datafeed-actions/v1/([0-9A-Za-z]{1,32})(?:[?/]|\Z)")


class _Session(msgspec.Struct):
    token: str


class _Feed(
    msgspec.Struct,
    rename={"url": "dataFeedURL", "session": "sessionToken", "refresh": "refreshActiveSessionURL",
            "interval": "refreshActiveSessionInterval"},
):  # fmt: skip
    url: str
    session: _Session
    refresh: str
    interval: int = 1800


@dataclass
class _Open:
    """A partition that is being read. ``offset``: of the last event handed on."""

    partition: str
    feed: _Feed
    context: AbstractAsyncContextManager[Stream]
    chunks: AsyncIterator[bytes]
    offset: int
    refreshed: float
    rest: bytearray = field(default_factory=bytearray)
    reading: asyncio.Task[bytes] | None = None


class EventStream:
    """The partitions of one consumer."""

    def __init__(self, wiring: Wiring, api: VendorApi, app_id: str, *, wait: float = _WAIT) -> None:
        self._wiring = wiring
        self._api = api
        self._app_id = app_id
        self._wait = wait
        self._open: list[_Open] = []

    async def pull(self, cursor: Json) -> Pulled:
        """What has come since the offsets in ``cursor`` (partition → offset). Waits for it."""
        said = cursor if isinstance(cursor, dict) else {}
        offsets = {key: value for key, value in said.items() if isinstance(value, int)}
        try:
            if not self._open or any(one.offset != offsets.get(one.partition, -1) for one in self._open):
                await self._begin(offsets)
            await self._keep()
            lines = await self._lines()
        except BaseException:
            # Whatever happened, the next pull begins at its cursor.
            await self.close()
            raise
        signals, spoilt = each(
            lines,
            lambda line: self._signal(*line),
            name=lambda line: f"stream:{self._app_id}:{line[0]}:{line[1]['metadata']['offset']}",
        )
        for partition, raw in lines:
            offsets[partition] = max(offsets.get(partition, -1), _offset(raw, offsets.get(partition, -1)))
        for one in self._open:
            one.offset = offsets.get(one.partition, one.offset)
        place: dict[str, Json] = {str(partition): offset for partition, offset in sorted(offsets.items())}
        return Pulled(signals, (), place, len(lines) >= _MOST, spoilt)

    async def probe(self) -> None:
        """Ask where the stream is; nothing is opened, since a second consumer would push out the first."""
        await self._feeds()

    async def close(self) -> None:
        """Let go of every partition."""
        ending, self._open = self._open, []
        for one in ending:
            if one.reading is not None:
                one.reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await one.reading
            with contextlib.suppress(Exception):
                await one.context.__aexit__(None, None, None)

    async def _feeds(self) -> list[_Feed]:
        answer = await self._api.get("/sensors/entities/datafeed/v2", {"appId": self._app_id}, scope=_SCOPE)
        found = answer.get("resources") if isinstance(answer, dict) else None
        if not isinstance(found, list) or not found:
            raise ConnectorError(ANSWER, "no partition of the event stream is offered")
        return [shaped(one, _Feed) for one in found[:64]]

    async def _begin(self, offsets: dict[str, int]) -> None:
        await self.close()
        for feed in await self._feeds():
            partition = _partition(feed)
            offset = offsets.get(partition, -1)
            joint = "&" if "?" in feed.url else "?"
            # The last one that was taken, not the one after it: whether it is sent again is not documented.
            url = f"{feed.url}{joint}offset={offset}" if offset >= 0 else feed.url
            context = self._wiring.http.stream(
                "GET", url, headers={"authorization": f"Token {feed.session.token}", "accept": "application/json"},
                idle_seconds=_IDLE,
            )  # fmt: skip
            stream = await context.__aenter__()
            opened = _Open(partition, feed, context, stream.chunks, offset, self._wiring.clock.monotonic())
            self._open.append(opened)
            if stream.status != 200:
                reason = {401: CREDENTIALS, 403: SCOPE}.get(stream.status, VENDOR_FAILED)
                raise ConnectorError(reason, f"the event stream answered {stream.status}")

    async def _keep(self) -> None:
        """A session ends after half an hour unless it is refreshed."""
        now = self._wiring.clock.monotonic()
        for one in self._open:
            if now - one.refreshed >= max(one.feed.interval - _REFRESH_EARLY, 30):
                await self._api.answer(
                    "POST", one.feed.refresh,
                    {"action_name": "refresh_active_stream_session"}
                    | ({} if "appId=" in one.feed.refresh else {"appId": self._app_id}),
                    scope=_SCOPE,
                )  # fmt: skip
                one.refreshed = now

    async def _lines(self) -> list[tuple[str, Any]]:
        """Events in the order in which they came: the first within 15 s, and what follows it closely."""
        found: list[tuple[str, Any]] = []
        wait = self._wait
        while len(found) < _MOST:
            tasks = {self._reading(one): one for one in self._open}
            done, _ = await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                one = tasks[task]
                one.reading = None
                found += [(one.partition, line) for line in _split(one.rest, task.result())]
            wait = _QUIET if found else wait
        return found

    def _reading(self, one: _Open) -> asyncio.Task[bytes]:
        """A pull that ends does not cut a chunk that is on its way: the next one takes it."""
        if one.reading is None:
            one.reading = asyncio.create_task(_next(one.chunks))
        return one.reading

    def _signal(self, partition: str, raw: Any) -> Any:
        metadata = raw.get("metadata") if isinstance(raw, dict) else None
        if isinstance(metadata, dict) and metadata.get("eventType") not in mapping.STREAM_KINDS:
            return None
        event = shaped(raw, Event)
        created = datetime.fromtimestamp(event.metadata.created / 1000, UTC)
        return mapping.stream_signal(self._wiring, event, app_id=self._app_id, partition=partition, created=created)


def _partition(feed: _Feed) -> str:
    """The partition's own number: the order in which partitions are told is not documented."""
    found = _PARTITION.search(feed.refresh)
    if found is None:
        raise ConnectorError(ANSWER, "the session's address names no partition")
    return found.group(1)


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(chunks)
    except StopAsyncIteration:
        raise ConnectorError(VENDOR_FAILED, "the event stream ended") from None


def _split(rest: bytearray, chunk: bytes) -> list[Any]:
    """The JSON values of every whole line; what is cut off waits for the next chunk. Raises ConnectorError."""
    rest += chunk
    if len(rest) > _MAX_LINE:
        raise ConnectorError(ANSWER, "a line of the event stream is longer than 1 MiB")
    *lines, left = bytes(rest).split(b"\n")
    rest[:] = left
    found = []
    for line in lines:
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConnectorError(ANSWER, "a line of the event stream is no JSON") from error
    return found


def _offset(raw: Any, before: int) -> int:
    """The offset of an event. One without any would have the stream stand still: it counts as the next."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    offset = metadata.get("offset") if isinstance(metadata, dict) else None
    return offset if isinstance(offset, int) and not isinstance(offset, bool) and offset >= 0 else before + 1
