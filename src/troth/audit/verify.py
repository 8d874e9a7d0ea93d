"""Proving the ledger from outside: rows or an export, checkpoints, and the notary's public key. Nothing is trusted.

Three things are held against each other: each payload against its leaf hash and its indexed copies, the indexes
against counting, and the recomputed root against every signed checkpoint. Whoever changes, deletes or reorders a row
must also forge the notary's signature. The pinned key should come from where the attacker is not: a file kept
elsewhere, a SIEM, paper.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from troth.audit.errors import BAD_EXPORT, BadExport
from troth.audit.event import entry_hash, parse_payload
from troth.audit.merkle import Frontier, leaf_hash
from troth.audit.note import NoteKey, open_checkpoint
from troth.audit.store import LedgerStore, RawEvent
from troth.kit.errors import TrothError

FORMAT = "troth-ledger-export/1"
_MAX_FAULTS = 50


@dataclass(slots=True)
class Report:
    """What verification found.

    Attributes:
        events: rows read.
        signed: the largest size that a checkpoint with a good signature and an equal root covers.
        erased: events whose payload was erased; the tree still holds their leaf.
        faults: (index or None, what is wrong), in order; empty means proved.
    """

    events: int = 0
    signed: int = 0
    erased: int = 0
    faults: list[tuple[int | None, str]] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def add(self, index: int | None, fault: str) -> None:
        """Note a fault; beyond fifty only their number matters."""
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append((index, fault))


class Verifier:
    """Feed it every row in order, then call :meth:`finish`."""

    def __init__(self, checkpoints: Sequence[str], key: NoteKey) -> None:
        self.report = Report()
        self._frontier = Frontier(0, [])
        self._roots: dict[int, bytes] = {}
        for note in checkpoints:
            try:
                said = open_checkpoint(note, key)
            except TrothError as error:
                self.report.add(None, f"a checkpoint does not verify: {error.detail}")
                continue
            if self._roots.setdefault(said.size, said.root) != said.root:
                self.report.add(None, f"two signed checkpoints of size {said.size} have different roots")
        if not self._roots:
            self.report.add(None, "there is no checkpoint with a good signature")

    def feed(self, row: RawEvent) -> None:
        """Check one row."""
        expected = self._frontier.size
        if row.index != expected:
            self.report.add(row.index, f"index {expected} is missing or out of order")
            # Go on counting from here, so that later faults are found as well; the roots will not match.
        self.report.events += 1
        leaf = row.leaf
        if row.payload is None or row.salt is None:
            self.report.erased += 1
        else:
            leaf = leaf_hash(entry_hash(row.salt, row.payload))
            if leaf != row.leaf:
                self.report.add(row.index, "the payload is not the one that was hashed")
            self._compare_copies(row, row.payload)
        self._frontier.append(leaf)
        signed = self._roots.get(self._frontier.size)
        if signed is None:
            return
        if signed == self._frontier.root():
            self.report.signed = self._frontier.size
        else:
            since = self.report.signed
            self.report.add(
                None, f"events {since} to {self._frontier.size - 1} are not those that were signed: another root"
            )

    def _compare_copies(self, row: RawEvent, payload: bytes) -> None:
        try:
            said = parse_payload(row.index, payload)
        except (ValueError, KeyError, TypeError):
            self.report.add(row.index, "the payload is not an event")
            return
        if (said.id, said.recorded_at, said.kind, said.actor) != (row.id, row.recorded_at, row.kind, row.actor):
            self.report.add(row.index, "the row's id, time, kind or actor differ from its payload")

    def finish(self) -> Report:
        """The result. Checkpoints beyond the last row mean that the end of the log was cut off."""
        largest = max(self._roots, default=0)
        if largest > self._frontier.size:
            self.report.add(None, f"{largest} events were signed, {self._frontier.size} are there: the end is missing")
        return self.report


async def verify_store(store: LedgerStore, key: NoteKey, *, notes: Sequence[str] = ()) -> Report:
    """Verify the log in a database. ``notes`` are further checkpoints, kept elsewhere."""
    verifier = Verifier([*(c.note for c in await store.checkpoints()), *notes], key)
    async for row in store.raw():
        verifier.feed(row)
    return verifier.finish()


async def export_lines(store: LedgerStore, key: NoteKey) -> AsyncIterator[str]:
    """The whole log as JSON lines: a header with key and checkpoints, then one line per event."""
    checkpoints = await store.checkpoints()
    header = {"format": FORMAT, "key": str(key), "checkpoints": [checkpoint.note for checkpoint in checkpoints]}
    yield json.dumps(header) + "\n"
    async for row in store.raw():
        yield json.dumps(_line(row)) + "\n"


async def export(store: LedgerStore, key: NoteKey, out: IO[str]) -> int:
    """Write :func:`export_lines` to ``out``. Returns the number of events."""
    count = -1
    async for line in export_lines(store, key):
        out.write(line)
        count += 1
    return count


def verify_export(path: Path, *, key: NoteKey | None = None) -> Report:
    """Verify an export without any database. ``key`` pins the notary; without it the file's own key is taken.

    Raises BadExport if the file is none.
    """
    with path.open(encoding="utf-8") as lines:
        try:
            header = json.loads(next(lines))
            if header["format"] != FORMAT:
                raise BadExport(BAD_EXPORT, f"format {header['format']!r} is not {FORMAT!r}")
            said = NoteKey.parse(header["key"])
            verifier = Verifier(header["checkpoints"], key or said)
        except (StopIteration, ValueError, KeyError, TypeError) as error:
            raise BadExport(BAD_EXPORT, f"{path.name} has no header") from error
        if key is not None and str(key) != str(said):
            verifier.report.add(None, "the export names another notary key than the pinned one")
        for row in _rows(lines, path.name):
            verifier.feed(row)
    return verifier.finish()


def _line(row: RawEvent) -> dict[str, object]:
    if row.payload is None or row.salt is None:
        return {"i": row.index, "leaf": _encode(row.leaf)}
    return {"i": row.index, "p": row.payload.decode(), "s": _encode(row.salt), "leaf": _encode(row.leaf)}


def _rows(lines: Iterator[str], name: str) -> Iterator[RawEvent]:
    for number, line in enumerate(lines, start=2):
        try:
            value = json.loads(line)
            leaf = base64.b64decode(value["leaf"], validate=True)
            payload = value["p"].encode() if "p" in value else None
            salt = base64.b64decode(value["s"], validate=True) if "s" in value else None
            said = parse_payload(value["i"], payload or _ERASED)
            yield RawEvent(value["i"], said.id, said.recorded_at, said.kind, said.actor, payload, salt, leaf)
        except (ValueError, KeyError, TypeError) as error:
            raise BadExport(BAD_EXPORT, f"line {number} of {name} is not an event") from error


#: Stands for the copies that an erased event has no more.
_ERASED = (
    b'{"id":"00000000-0000-0000-0000-000000000000","unit":"00000000-0000-0000-0000-000000000000",'
    b'"at":"1970-01-01T00:00:00+00:00","kind":"erased","actor":"erased","subjects":[],"data":{}}'
)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
