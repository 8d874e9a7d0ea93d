"""The entries of one CRL shard in memory: runs in the order of the serial numbers, each a range of them.

A change makes one run old; it is then *read again* from the certificates, whatever the change was: held, released,
revoked, expired. So the buffer holds nothing that it worked out by itself, and may be told of a change twice, or of
several in any order. A run has at most a few thousand entries; all others, and their rows in the database, stay as
they are, which is what makes a change to a million entries cheap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from uuid import UUID

from troth.kit.ids import new_id
from troth.pki.crl_der import entries_of
from troth.pki.crl_store import LAST, Chunk, CrlStore

#: Entries of a run when it is made, and the most it grows to: 100 and 200 KiB.
RUN = 2048
MOST = 4096


class CrlBuffer:
    """See the module. ``number`` is the complete CRL that ``stored`` chunks belong to."""

    def __init__(self, authority: str, shard: int, *, run: int = RUN, most: int = MOST) -> None:
        self.authority = authority
        self.shard = shard
        self.number = 0
        self.alive_at: datetime | None = None
        self._run = run
        self._most = most
        self._chunks: list[Chunk] = []
        self._stored: set[UUID] = set()

    # --- what it holds -----------------------------------------------------------------------------------------

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All runs in order."""
        return tuple(self._chunks)

    @property
    def entries(self) -> int:
        """How many entries."""
        return sum(chunk.entries for chunk in self._chunks)

    @property
    def size(self) -> int:
        """Octets of all entries."""
        return sum(len(chunk.body) for chunk in self._chunks)

    def fresh(self) -> list[Chunk]:
        """Runs that the database does not have."""
        return [chunk for chunk in self._chunks if chunk.id not in self._stored]

    def gone(self) -> list[UUID]:
        """Runs of the published CRL that are in this buffer no more."""
        return sorted(self._stored - {chunk.id for chunk in self._chunks})

    def published(self, number: int) -> None:
        """The database has all of it now, as complete CRL ``number``."""
        self.number = number
        self._stored = {chunk.id for chunk in self._chunks}

    def lookup(self, serials: Iterable[bytes]) -> dict[bytes, bytes]:
        """The entries of those of ``serials`` that are listed."""
        wanted: dict[int, set[bytes]] = {}
        for serial in serials:
            wanted.setdefault(self._place(serial), set()).add(serial)
        found: dict[bytes, bytes] = {}
        for place, members in wanted.items():
            if place < len(self._chunks):
                found |= {serial: entry for serial, entry in entries_of(self._chunks[place].body) if serial in members}
        return found

    # --- how it is filled --------------------------------------------------------------------------------------

    async def load(self, store: CrlStore, ids: tuple[UUID, ...], number: int, alive_at: datetime | None) -> bool:
        """Take the chunks of complete CRL ``number``; False when one of them is missing."""
        chunks = [chunk async for chunk in store.chunks(ids)]
        if len(chunks) != len(ids):
            return False
        self._chunks = chunks
        self.alive_at = alive_at
        self.published(number)
        return True

    async def refresh(self, store: CrlStore, serials: Iterable[bytes]) -> None:
        """Read the runs again in which ``serials`` lie. Raises StoreError; what was read by then stays."""
        places = {self._place(serial) for serial in serials}
        # From behind, so that what a run is split into moves no run that is still to come.
        for place in sorted(places, reverse=True):
            await self._read(store, place)

    async def refresh_all(self, store: CrlStore, alive_at: datetime) -> None:
        """Read every run again, leaving out what had expired before ``alive_at``. Raises StoreError."""
        self.alive_at = alive_at
        for place in reversed(range(max(len(self._chunks), 1))):
            await self._read(store, place)

    def _place(self, serial: bytes) -> int:
        return max(bisect_right(self._chunks, serial, key=lambda chunk: chunk.starts) - 1, 0)

    def _bounds(self, place: int) -> tuple[bytes, bytes]:
        # The first run begins at the very beginning, whatever it was called when it was made.
        starts = self._chunks[place].starts if 0 < place < len(self._chunks) else b""
        ends = self._chunks[place + 1].starts if place + 1 < len(self._chunks) else LAST
        return starts, ends

    async def _read(self, store: CrlStore, place: int) -> None:
        starts, ends = self._bounds(place)
        old = self._chunks[place : place + 1]
        count, body, _ = await self._entries(store, starts, ends, self._most + 1)
        if old and old[0].body == body:
            return
        if count <= self._most:
            made = [Chunk(new_id(), starts, count, body)] if count else []
        else:
            made = [chunk async for chunk in self._split(store, starts, ends)]
        self._chunks[place : place + 1] = made

    async def _split(self, store: CrlStore, starts: bytes, ends: bytes) -> AsyncIterator[Chunk]:
        while True:
            count, body, last = await self._entries(store, starts, ends, self._run)
            if count:
                yield Chunk(new_id(), starts, count, body)
            if count < self._run:
                return
            starts = last + b"\x00"  # the next serial number that there can be

    async def _entries(self, store: CrlStore, starts: bytes, ends: bytes, limit: int) -> tuple[int, bytes, bytes]:
        if self.alive_at is None:
            raise ValueError("a buffer is filled as of some moment")
        return await store.entries(self.authority, self.shard, starts, ends, alive_at=self.alive_at, limit=limit)


def bodies(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """The entries, run by run."""
    return (chunk.body for chunk in chunks)
