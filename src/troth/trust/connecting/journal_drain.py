"""From the journal's files into the database and the ledger: each decision once, whoever dies in between.

A file is carried over in units; before each unit the decisions that are stored already are left out, and only when all
of it is stored is the file removed. A journal belongs to the process that holds its lock, and one whose process has
died to the first that takes it. What a door noted beside its decisions is stored by who was named for that kind; a
file with a note that nobody here stores is left for a process that does. Files that are damaged in the middle are kept
aside, with what could be read carried over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.connecting.journal import LOCK, Entry, Journal, abandoned, holds_more, read, segments
from troth.trust.decision.decide import decision_event
from troth.trust.model import decode_decision
from troth.trust.outbox.decisions import tell
from troth.trust.policy.store import ADD_DECISION, PolicyStore, decision_row

log = get_logger("trust")

#: Decisions of one unit.
BATCH = 200
#: Seconds between two rounds: the ledger has a decision within so much, and its sequencer's pace.
PACE = 1.0

#: Stores notes of one kind: JSON by JSON into a unit. Must do no harm when it is asked twice about the same.
Taker: TypeAlias = "Callable[[Unit, Sequence[bytes]], Awaitable[None]]"


class Drain:
    """Carries over one process's journal, and those of processes that are gone. ``takers``: by kind of note."""

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, *, takers: Mapping[str, Taker] | None = None
    ) -> None:
        self._takers = dict(takers or {})
        self._database = database
        self._store = PolicyStore(database)
        self._journal = journal
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; a database that is away is tried again, the files wait."""
        await self._tried(self.adopt)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE):
                    await stop.wait()
            if not stop.is_set():
                await self._tried(self.once)
        await self._tried(self.once)

    async def _tried(self, work: Callable[[], Awaitable[int]]) -> None:
        try:
            await work()
        except StoreError as error:
            log.warning("journal.waits", error=str(error))
        except OSError as error:
            log.error("journal.unreadable", error=str(error))

    async def once(self) -> int:
        """Carry over what this process has written so far; how many decisions there were."""
        return sum([await self._carry(path, self._journal.name) for path in await self._journal.finished()])

    async def adopt(self) -> int:
        """Carry over, and remove, the journals of processes that are gone."""
        carried = 0
        for directory, lock in abandoned(self._journal.directory.parent):
            try:
                for path in segments(directory):
                    carried += await self._carry(path, directory.name)
                if not segments(directory):
                    await asyncio.to_thread(_remove, directory)
            finally:
                os.close(lock)
        return carried

    async def _carry(self, path: Path, name: str) -> int:
        data = await asyncio.to_thread(path.read_bytes)
        entries, rest = read(data)
        strange = {entry.kind for entry in entries if entry.kind} - self._takers.keys()
        if strange:
            log.info("journal.left", file=path.name, kinds=sorted(strange))
            return 0
        for start in range(0, len(entries), BATCH):
            await self._store_all(entries[start : start + BATCH], name)
        if rest and holds_more(data, rest):
            await asyncio.to_thread(path.rename, path.with_suffix(".damaged"))
            log.error("journal.damaged", file=path.name, octets=rest)
            lost = Event("journal.damaged", "system:journal", (), {"journal": name, "file": path.name, "octets": rest})
            await self._database.commit(Unit().record(lost))
        else:
            await asyncio.to_thread(path.unlink)
        return len(entries)

    async def _store_all(self, entries: list[Entry], name: str) -> None:
        unit = Unit()
        for kind, take in self._takers.items():
            notes = [bytes(entry.note) for entry in entries if entry.kind == kind]
            if notes:
                await take(unit, notes)
        judged = [entry for entry in entries if not entry.kind]
        decisions = [decode_decision(bytes(entry.decision)) for entry in judged]
        known = await self._store.known_decisions([one.id for one in decisions])
        for entry, decision in zip(judged, decisions, strict=True):
            if decision.id in known:
                continue
            # Stored octet for octet as it was written: what was decided from is not read again here.
            record, refs = bytes(entry.decision), (*entry.refs, f"journal:{name}/{entry.number}")
            unit.write(ADD_DECISION, *decision_row(decision, bytes(entry.snapshot), record))
            unit.record(decision_event(decision, entry.actor, refs, record))
            tell(unit, decision)
        if unit.writes:
            await self._database.commit(unit)


def _remove(directory: Path) -> None:
    (directory / LOCK).unlink()
    try:
        directory.rmdir()
    except OSError:
        log.warning("journal.kept", directory=directory.name)  # something damaged lies in it
