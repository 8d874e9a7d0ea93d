"""Reading the database for the trust table: pages of a snapshot, and what is unsettled by id."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from msgspec import structs

from troth.kit.clock import Clock
from troth.radius.admission.errors import UNREADABLE, NetworkError
from troth.radius.admission.records import CertificateRow, SubjectRow, made
from troth.radius.admission.table import TrustTable
from troth.radius.admission.table_store import TableStore
from troth.store.pool import Database
from troth.trust.decision.decide import Judge
from troth.trust.subjects.facts import Observation

#: Certificates of one page of the snapshot.
_PAGE = 2_000


class TableReader:
    """Puts into the table what it reads. Methods raise StoreError and NetworkError; what is unsettled then stays so."""

    def __init__(self, database: Database, judge: Judge, table: TrustTable, clock: Clock) -> None:
        self._store = TableStore(database)
        self._judge = judge
        self._table = table
        self._clock = clock

    async def load(self, profiles: Collection[str]) -> None:
        """Every certificate of ``profiles`` with its subjects."""
        turn = self._table.begin()
        try:
            async for page in self._store.pages(profiles, self._clock.now(), page=_PAGE):
                await self._take(page, turn)
                await asyncio.sleep(0)
        finally:
            self._table.end()

    async def settle(self, keys: Sequence[bytes]) -> None:
        """Read these ids, of certificates or of subjects, again."""
        if not keys:
            return
        turn, at = self._table.begin(), self._clock.now()
        try:
            ids = [UUID(bytes=key) for key in keys if len(key) == 16]
            certificates = await self._store.certificates(ids, self._table.profiles, at)
            found = {one.id.bytes for one in certificates}
            found |= await self._subjects([one for one in ids if one.bytes not in found], turn)
            await self._take(certificates, turn)
            self._table.missing([key for key in keys if key not in found], turn)
        finally:
            self._table.end()

    async def names(self, asked: Sequence[tuple[str, str]]) -> None:
        """Look up subjects by kind and name."""
        for kind, name in asked:
            turn = self._table.begin()
            try:
                found = await self._store.named(kind, name)
                if found is not None:
                    await self._subjects([found], turn)
                self._table.put_name(kind, name, found)
            finally:
                self._table.end()

    async def _take(self, page: Sequence[CertificateRow], turn: int) -> None:
        """Subjects first: a certificate never stands in the table without them."""
        wanted = {subject for one in page for subject in one.subjects}
        await self._subjects([one for one in wanted if not self._table.holds(one)], turn)
        self._table.put_certificates(page, turn)

    async def _subjects(self, ids: Sequence[UUID], turn: int) -> set[bytes]:
        """Read subjects, and their owners where these are not held yet; the ids that were found."""
        if not ids:
            return set()
        wish, paths, read_at = self._table.wish, self._table.paths, self._clock.monotonic()
        rows = await self._store.subjects(ids)
        here = {one.id for one in rows}
        owners = {one.owner for one in rows if one.owner is not None} - here
        rows += await self._store.subjects([one for one in owners if not self._table.holds(one)])
        said = await self._said(rows, paths)
        self._table.put_subjects(
            [
                structs.replace(one, said=self._table.words.pack(said.get(one.id, ())), paths=wish, read_at=read_at)
                for one in rows
            ],
            turn,
        )
        return {one.bytes for one in here}

    async def _said(self, rows: Iterable[SubjectRow], paths: frozenset[str]) -> dict[UUID, list[Observation]]:
        """What sources say of these. A source that cannot be asked fails the read: unknown would be taken for told."""
        found: dict[UUID, list[Observation]] = {}
        observations, failures = await self._judge.gathered([made(one, None) for one in rows if not one.removed], paths)
        if failures:
            raise NetworkError(UNREADABLE, ", ".join(f"{source}: {what}" for source, what in failures))
        for one in observations:
            found.setdefault(one.subject_id, []).append(one)
        return found
