"""Replaying shipped bundles over a restored archive: the ledger event by event, the rows as they stood last.

Nothing is believed: a leaf is computed from its payload, the tree from the leaves, and where a checkpoint was shipped
its root must be that tree's under the notary's key. What does not fit ends the replay with an error; what is merely
not there (a gap, an end before the archive's) ends it with a reason to close the fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.audit.event import entry_hash, parse_payload
from troth.audit.merkle import Frontier, leaf_hash
from troth.audit.note import CheckpointText, NoteKey, open_checkpoint
from troth.audit.store import PARTITION_SIZE, partition_ddl
from troth.kit.errors import TrothError
from troth.ops.backup.bundle import FOLDER, Bundle, Event, bundle_name, open_bundle
from troth.ops.backup.errors import TILES, RestoreRefused
from troth.ops.backup.sealing import Opener
from troth.ops.backup.shipping import Position
from troth.ops.backup.store import RestoreStore, SourceStore
from troth.ops.backup.target import Target
from troth.store.snapshot import Loader

_TREES = 20_000


@dataclass(slots=True)
class Replayed:
    """What a replay did.

    Attributes:
        size: of the ledger afterwards.
        complete_at: when the tiles last held everything; None when they say nothing.
        missing: why something may be missing, or empty.
        newest_at: time of the newest event that was replayed.
        crl_numbers: the highest number that any event speaks of, by authority.
        note: the newest checkpoint that was proved: (size, note, time, frontier, root).
    """

    size: int
    events: int = 0
    rows: int = 0
    complete_at: datetime | None = None
    missing: str = ""
    newest_at: datetime | None = None
    crl_numbers: dict[str, int] = field(default_factory=dict)
    note: tuple[int, str, datetime, list[bytes], bytes] | None = None


async def replay(
    loader: Loader, target: Target, opener: Opener, secret: bytes, key: NoteKey, *, newest_migration: int
) -> Replayed:
    """Put everything that was shipped after the archive over it.

    Raises RestoreRefused when the tiles are not of this ledger or not what was signed, BackupRefused when ``opener``
    does not open them, ShippingFailed when they cannot be read.
    """
    size, _, nodes = await SourceStore(loader).head()
    position = await asyncio.to_thread(_position, target)
    done = Replayed(size)
    if position is None:
        done.missing = "there is nothing in the place of the tiles"
        return done
    if position.origin != key.name:
        raise RestoreRefused(TILES, f"they are of {position.origin}, the backup is of {key.name}")
    if position.size < size:
        done.missing = f"the tiles end at event {position.size}, before the backup's end at {size}"
        return done
    work = _Replay(loader, key, Frontier(size, nodes), done, newest_migration)
    last: Bundle | None = None
    for start in await asyncio.to_thread(lambda: list(_starts(target, size))):
        if start > done.size:
            break
        content = await asyncio.to_thread(target.get, bundle_name(start))
        if content is None:
            break
        last = await asyncio.to_thread(open_bundle, content, opener, secret)
        await work.take(last)
    await work.take_checkpoint(await asyncio.to_thread(target.get, "checkpoint"))
    if done.missing:
        return done
    if done.size < position.size:
        done.missing = f"bundles are missing from event {done.size} on; {position.size} were shipped"
    else:
        done.complete_at = position.at
    if last is not None and not done.missing:
        rows = [(UUID(one.id), datetime.fromisoformat(one.recorded_at), one.payload, one.salt) for one in last.waiting]
        await RestoreStore(loader).add_waiting(rows, size)
    return done


class _Replay:
    def __init__(self, loader: Loader, key: NoteKey, frontier: Frontier, done: Replayed, newest: int) -> None:
        self._store = RestoreStore(loader)
        self._key = key
        self._frontier = frontier
        self._begun_at = frontier.size
        self._done = done
        self._newest = newest
        self._partitions = frontier.size // PARTITION_SIZE
        #: Trees of late: a checkpoint comes with a later bundle than the events it is over.
        self._seen: dict[int, tuple[list[bytes], bytes]] = {}
        self._remember()

    async def take_checkpoint(self, content: bytes | None) -> None:
        """The newest checkpoint, which may have come after the last bundle."""
        if content is None:
            return
        try:
            text = content.decode()
            said = open_checkpoint(text, self._key)
        except (TrothError, UnicodeDecodeError) as error:
            raise RestoreRefused(TILES, f"their checkpoint is not the notary's: {error}") from error
        if said.size > self._done.size:
            self._done.missing = f"{said.size} events were signed and shipped, {self._done.size} are here"
        elif self._done.newest_at is not None:
            await self._prove(said, text, self._done.newest_at)

    async def _prove(self, said: CheckpointText, text: str, at: datetime) -> None:
        """Keep a checkpoint over events that were just replayed."""
        tree = self._seen.pop(said.size, None)
        if tree is None:
            return
        nodes, root = tree
        if root != said.root:
            raise RestoreRefused(TILES, f"the events up to {said.size} are not those that were signed")
        await self._store.add_note(said.size, root, text, at)
        self._done.note = (said.size, text, at, nodes, root)

    def _remember(self) -> None:
        self._seen[self._frontier.size] = (self._frontier.nodes, self._frontier.root())
        if len(self._seen) > _TREES:
            del self._seen[next(iter(self._seen))]

    async def take(self, bundle: Bundle) -> None:
        if bundle.origin != self._key.name:
            raise RestoreRefused(TILES, f"a bundle is of {bundle.origin}")
        if bundle.migration > self._newest:
            raise RestoreRefused(TILES, f"its rows are of schema {bundle.migration:04}, which this version lacks")
        note = None
        if bundle.note is not None:
            try:
                note = open_checkpoint(bundle.note[1], self._key)
            except TrothError as error:
                raise RestoreRefused(TILES, f"a shipped checkpoint: {error.detail}") from error
        fresh = [event for event in bundle.events if event.index >= self._frontier.size]
        await self._append(fresh)
        if note is not None and bundle.note is not None:
            await self._prove(note, bundle.note[1], bundle.note[2])
        if bundle.end > self._begun_at:
            images = {name: {"keys": one.keys, "rows": one.rows} for name, one in bundle.images.items()}
            self._done.rows += await self._store.put_images(images)
            await self._store.put_whole(bundle.whole)

    async def _append(self, events: list[Event]) -> None:
        rows: list[tuple[Any, ...]] = []
        references: list[tuple[str, int]] = []
        newest: datetime | None = None
        for event in events:
            if event.index != self._frontier.size:
                raise RestoreRefused(TILES, f"event {self._frontier.size} is missing")
            said = None
            if event.payload is not None and event.salt is not None:
                if leaf_hash(entry_hash(event.salt, event.payload)) != event.leaf:
                    raise RestoreRefused(TILES, f"event {event.index} is not what was hashed")
                said = parse_payload(event.index, event.payload)
                references += [(reference, event.index) for reference in dict.fromkeys(said.subjects)]
                newest = said.recorded_at if newest is None else max(newest, said.recorded_at)
                if said.kind.startswith("crl.") and isinstance(said.data.get("number"), int):
                    authority = str(said.data["authority"])
                    highest = self._done.crl_numbers.get(authority, 0)
                    self._done.crl_numbers[authority] = max(highest, said.data["number"])
            if said is None:
                raise RestoreRefused(TILES, f"the payload of event {event.index} was erased before it was shipped")
            self._frontier.append(event.leaf)
            rows.append((event.index, said.id, said.recorded_at, said.kind, said.actor, event.payload, event.salt,
                         event.leaf))  # fmt: skip
            self._remember()
        if not rows:
            return
        while self._frontier.size // PARTITION_SIZE > self._partitions:
            self._partitions += 1
            await self._store.partition(partition_ddl(self._partitions))
        head = (self._frontier.size, self._frontier.nodes, self._frontier.root(), newest)
        await self._store.append(rows, references, head)
        self._done.newest_at = newest
        self._done.size = self._frontier.size
        self._done.events += len(rows)


def _position(target: Target) -> Position | None:
    content = target.get("position")
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Position)
    except msgspec.MsgspecError as error:
        raise RestoreRefused(TILES, "their position cannot be read") from error


def _starts(target: Target, size: int) -> Iterator[int]:
    """Where bundles begin, from the one that holds event ``size`` (or ends before it) on."""
    starts = sorted(
        int(name) for folder in target.names(FOLDER) for name in target.names(f"{FOLDER}/{folder}") if name.isdecimal()
    )
    first = max((start for start in starts if start <= size), default=0)
    return (start for start in starts if start >= first)
