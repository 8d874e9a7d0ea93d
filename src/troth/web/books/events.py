"""The ledger as the faces read it, and its export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.note import NoteKey, open_checkpoint
from troth.audit.store import LedgerStore
from troth.audit.verify import export_lines
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.web.books.store import BookStore
from troth.web.views import CheckpointView, EventFilter, EventView, Page
from troth.web.words import event_view

#: A filtered list looks through at most this many events for a page.
_LOOK_THROUGH = 20_000
_CHUNK = 1_000
_REMEMBERED = 5_000


class Events:
    """See :class:`troth.web.services.EventBook`. ``key`` signs the checkpoints."""

    def __init__(self, database: Database, key: NoteKey) -> None:
        self._ledger = LedgerStore(database)
        self._books = BookStore(database)
        self._key = key
        # What certificates and subjects are called never changes, so it is asked for once.
        self._names: dict[str, str] = {}

    async def list(self, wanted: EventFilter) -> Page[EventView]:
        if wanted.ref:
            about = await self._ledger.about(wanted.ref, wanted.limit + 1, before=wanted.before)
            found: Sequence[StreamEvent] = [event for event in about if event.kind.startswith(wanted.kind)]
        elif not wanted.kind:
            found = await self._ledger.latest(wanted.limit + 1, before=wanted.before)
        else:
            found = await self._filtered(wanted)
        shown = found[: wanted.limit]
        following = str(shown[-1].index) if len(found) > wanted.limit else None
        return Page(await self.viewed(shown), following)

    async def _filtered(self, wanted: EventFilter) -> Sequence[StreamEvent]:
        found: list[StreamEvent] = []
        before = wanted.before
        for _ in range(_LOOK_THROUGH // _CHUNK):
            chunk = await self._ledger.latest(_CHUNK, before=before)
            found += [event for event in chunk if event.kind.startswith(wanted.kind)]
            if len(chunk) < _CHUNK or len(found) > wanted.limit:
                break
            before = chunk[-1].index
        return found

    async def since(self, index: int, limit: int) -> Sequence[EventView]:
        return await self.viewed(await self._ledger.read(index, limit))

    async def viewed(self, events: Sequence[StreamEvent]) -> Sequence[EventView]:
        """See the port. Sentences name what they are about, not its identifier."""
        await self._learn({ref for event in events for ref in event.subjects})
        return [event_view(event, self._names) for event in events]

    async def _learn(self, refs: set[str]) -> None:
        if len(self._names) > _REMEMBERED:
            self._names.clear()
        unknown = refs - self._names.keys()
        certificates, subjects = _ids(unknown, "certificate"), _ids(unknown, "subject")
        if certificates:
            for identifier, title in (await self._books.titles(certificates)).items():
                self._names[f"certificate:{identifier}"] = title
        if subjects:
            for identifier, name in (await self._books.subject_names(subjects)).items():
                self._names[f"subject:{identifier}"] = name

    async def checkpoint(self) -> CheckpointView:
        head = await self._ledger.head()
        last = await self._ledger.last_checkpoint()
        if last is None:
            return CheckpointView(
                origin=self._key.name, size=0, root_hash="", signed_at=None, note="", events=head.size
            )
        said = open_checkpoint(last.note, self._key)
        return CheckpointView(
            origin=said.origin,
            size=said.size,
            root_hash=said.root.hex(),
            signed_at=last.signed_at,
            note=last.note,
            events=head.size,
        )

    async def export(self) -> AsyncIterator[bytes]:
        async for line in export_lines(self._ledger, self._key):
            yield line.encode()


def _ids(refs: set[str], kind: str) -> list[UUID]:
    found = (parse_id(ref.partition(":")[2]) for ref in refs if ref.startswith(f"{kind}:"))
    return [one for one in found if one is not None]
