"""From the journal's files into the database and the ledger: each decision once, whoever dies in between.

One process of a machine drains the journals of all: many decisions share a commit. A file that has ended is carried
over in units; before each unit the decisions that are stored already are left out, and only when all of it is stored is
the file removed. A journal whose process has died is carried over to its end. What a door noted beside its decisions is
stored, in the same unit, by who was named for that kind; a file with a note that nobody here stores is left for a
process that does. Files that are damaged in the middle are kept aside, with what could be read carried over.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.connecting.journal import LOCK, Entry, ended, holds_more, journals, read, segments
from troth.trust.decision.decide import decision_event
from troth.trust.model import decode_decision
from troth.trust.outbox.decisions import tell
from troth.trust.policy.store import ADD_DECISION, PolicyStore, decision_row

log = get_logger("trust")

#: Decisions of one unit.
BATCH = 200
#: Seconds between two rounds, and between two looks at whether it is our turn. The ledger has a decision within the
#: first, the time in which a journal's file ends, and its sequencer's pace.
PACE, WATCH = 0.5, 2.0

#: Stores notes of one kind: JSON by JSON into a unit. Must do no harm when it is asked twice about the same.
Taker: TypeAlias = "Callable[[Unit, Sequence[bytes]], Awaitable[None]]"


class Drain:
    """Carries over the journals below ``root``: what living processes have ended, and all that dead ones have left.

    One process of a machine does at a time, whoever has the lock.

    Args:
        takers: by kind of note.
        wakes: channel to be woken when notes of a kind were stored.
        patience: seconds for which nobody else must have drained before this one does: another process is meant to.
    """

    def __init__(
        self,
        database: Database,
        root: Path,
        clock: Clock,
        *,
        takers: Mapping[str, Taker] | None = None,
        wakes: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> None:
        self._takers = dict(takers or {})
        self._wakes = dict(wakes or {})
        self._database = database
        self._store = PolicyStore(database)
        self._root = root
        self._clock = clock
        self._patience = patience
        self._free_since: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; a database that is away is tried again, the files wait."""
        with contextlib.ExitStack() as held:
            mine = False
            while not stop.is_set():
                mine = mine or self._turn(held)
                if mine:
                    await self._tried()
                await until_set(stop, PACE if mine else WATCH)
                if mine and self._patience:
                    held.close()  # who is meant to may have it
                    mine = False
                    self._free_since = self._clock.monotonic() - self._patience
            if mine or self._turn(held):
                await self._tried()

    def _turn(self, held: contextlib.ExitStack) -> bool:
        """Take the lock, if nobody has it and it is for us to."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._root / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            self._free_since = None
            return False
        now = self._clock.monotonic()
        if self._free_since is None:
            self._free_since = now
        if now - self._free_since < self._patience:
            os.close(lock)
            return False
        held.callback(os.close, lock)
        return True

    async def _tried(self) -> None:
        try:
            await self.once()
        except StoreError as error:
            log.warning("journal.waits", error=str(error))
        except OSError as error:
            log.error("journal.unreadable", error=str(error))

    async def once(self) -> int:
        """Carry over what there is; how many entries there were. Journals of processes that are gone go with it."""
        carried = 0
        for directory, lock in journals(self._root):
            try:
                for path in ended(directory) if lock is None else segments(directory):
                    carried += await self._carry(path, directory.name)
                if lock is not None and not segments(directory):
                    await asyncio.to_thread(_remove, directory)
            finally:
                if lock is not None:
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
            record, place = bytes(entry.decision), f"{name}/{entry.number}"
            unit.write(ADD_DECISION, *decision_row(decision, bytes(entry.snapshot), record))
            unit.record(decision_event(decision, entry.actor, entry.refs, record, journal=place))
            tell(unit, decision)
        if unit.writes:
            await self._database.commit(unit)
            for channel in {self._wakes[entry.kind] for entry in entries if entry.kind in self._wakes}:
                self._database.wake(channel)


def _remove(directory: Path) -> None:
    (directory / LOCK).unlink()
    try:
        directory.rmdir()
    except OSError:
        log.warning("journal.kept", directory=directory.name)  # something damaged lies in it
