"""The journal of decisions that let somebody in: durable before the answer, in the database soon after.

Beside decisions a door may write down what else must not be lost of an answer (*notes*: the conversation of a network
admission, the session that it opens), in the same write.

A door that asks at each connection cannot wait for the database, and must not lose what it has decided. So a decision
is appended to a file of this process, and the answer waits for that write alone, which all requests of that moment
share.
:mod:`troth.trust.connecting.journal_drain` carries the files over into the database and the ledger, once each. A file
is its process's own while it is appended to (``.journal``), and whoever drains may have it once it has ended
(``.ended``), which is a moment after it was begun, or when the process is gone.

What is trusted: the file system's word that what was synced is there. What may be lost: what nobody was answered. What
shows: entries are numbered, so a file that vanishes leaves a gap in the ledger.

An entry is a mark, its length and CRC-32 (big-endian, 4 octets each) and JSON. A torn last one was never acknowledged.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import msgspec

from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.trust.errors import JOURNAL_FULL, JOURNAL_UNWRITABLE, JournalError
from troth.trust.model import Decision, Snapshot, encode

log = get_logger("trust")

#: Decisions that may wait for the disk; whoever comes then is answered that it cannot be decided now.
MAX_PENDING = 10_000
#: Octets of one file; then the next one is begun.
SEGMENT = 8 * 1024 * 1024
#: No entry is larger: a snapshot's values are bounded.
MAX_ENTRY = 4 * 1024 * 1024

#: Seconds from the beginning of one write to that of the next. Who comes alone is written down at once; of a burst each
#: waits half of this for the others, since a write takes the processor as long as a decision, for one as for many.
_PACE = 0.008

_HEAD = struct.Struct(">4sII")
#: Begins each entry. It holds a line end, which compact JSON never does, so that reading can find its way again.
_MARK = b"TJ1\n"
_SUFFIX, _ENDED = ".journal", ".ended"
LOCK = "lock"
#: Seconds after its first entry in which a file ends, so that the ledger has what it holds.
ENDS = 0.5


#: A write comes back when it is durable (O_DSYNC): as fdatasync after it, with one switch between threads less.
_BEGUN = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_DSYNC | os.O_CLOEXEC

_NOTHING = msgspec.Raw(b"null")
#: (kind, JSON of the door's own).
Note: TypeAlias = tuple[str, bytes]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision, or one note, as it lies in the journal.

    Attributes:
        number: from 1, gapless in one journal.
        actor, refs: for the ledger, as in :meth:`troth.trust.decision.decide.Verdict.bind`.
        decision, snapshot: as they will be stored, octet for octet.
        kind: of a note, by which the drain finds who stores it; empty: it is a decision.
        note: JSON of the door's own.
    """

    number: int
    actor: str
    refs: tuple[str, ...]
    decision: msgspec.Raw = _NOTHING
    snapshot: msgspec.Raw = _NOTHING
    kind: str = ""
    note: msgspec.Raw = _NOTHING


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class Journal:
    """The journal of one process, in a directory of its own below ``root``. Belongs to one event loop."""

    def __init__(
        self,
        directory: Path,
        lock: int,
        *,
        segment: int = SEGMENT,
        max_pending: int = MAX_PENDING,
        ends: float = ENDS,
    ) -> None:
        self.directory = directory
        self._lock = lock
        self._segment = segment
        self._max_pending = max_pending
        self._ends = ends
        self._ending: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._number = 0
        self._file = -1
        self._path = directory
        self._size = 0
        self._part = 0
        self._broken = False

    @classmethod
    def open(cls, root: Path, *, segment: int = SEGMENT, max_pending: int = MAX_PENDING, ends: float = ENDS) -> Journal:
        """A new journal below ``root``, which is made where it is missing. Raises OSError."""
        root.mkdir(mode=0o700, exist_ok=True)
        directory = root / str(new_id())
        # Nobody who looks for journals of the dead may see it before it is locked.
        hidden = directory.with_name(f".{directory.name}")
        hidden.mkdir(mode=0o700)
        lock = os.open(hidden / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(directory)
        _sync_directory(root)
        return cls(directory, lock, segment=segment, max_pending=max_pending, ends=ends)

    @property
    def name(self) -> str:
        """How the ledger calls it."""
        return self.directory.name

    async def record(
        self,
        made: Sequence[tuple[Decision, Snapshot]],
        *,
        actor: str,
        refs: tuple[str, ...] = (),
        notes: Sequence[Note] = (),
    ) -> None:
        """Come back when all of ``made`` is durable, or raise JournalError: then nobody may be let in on it.

        ``notes``: to be kept with them.
        """
        await self.append(made, actor=actor, refs=refs, notes=notes)

    def append(
        self,
        made: Sequence[tuple[Decision, Snapshot]],
        *,
        actor: str,
        refs: tuple[str, ...] = (),
        notes: Sequence[Note] = (),
    ) -> asyncio.Future[None]:
        """As :meth:`record`, without waiting: the future is done when it is durable. Raises JournalError at once where
        nothing can be written."""
        if self._broken:
            raise JournalError(JOURNAL_UNWRITABLE, "an earlier write failed")
        if len(self._pending) + len(made) > self._max_pending:
            raise JournalError(JOURNAL_FULL, f"{len(self._pending)} decisions wait for the disk")
        blob = b"".join(
            framed(Entry(self._next(), actor, refs, msgspec.Raw(encode(decision)), msgspec.Raw(encode(snapshot))))
            for decision, snapshot in made
        )
        for kind, body in notes:
            blob += framed(Entry(self._next(), actor, refs, kind=kind, note=msgspec.Raw(body)))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((blob, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_pending())
        return done

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            begun = loop.time()
            failure: JournalError | None = None
            try:
                await loop.run_in_executor(self._thread, self._write, b"".join(blob for blob, _ in batch))
            except OSError as error:
                # What the file holds now is not known; nothing more is appended to it.
                self._broken = True
                log.error("journal.write_failed", error=str(error))
                failure = JournalError(JOURNAL_UNWRITABLE, error.strerror or "the write failed")
            for _, done in batch:
                if done.done():
                    continue  # the door has gone away
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)
            if self._ending is None:
                self._ending = loop.call_later(self._ends, self._let_go)
            await asyncio.sleep(begun + _PACE - loop.time())
        self._writing = None

    def _let_go(self) -> None:
        """End the present file, behind what is being written."""
        self._ending = None
        self._thread.submit(self._end).add_done_callback(_told)

    def _write(self, blob: bytes) -> None:
        if self._file < 0 or self._size >= self._segment:
            self._begin()
        view = memoryview(blob)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(blob)

    def _begin(self) -> None:
        self._end()
        self._part += 1
        path = self.directory / f"{self._part:08d}{_SUFFIX}"
        self._file = os.open(path, _BEGUN, 0o600)
        self._path, self._size = path, 0
        _sync_directory(self.directory)

    async def end(self) -> None:
        """Let nothing more be appended to the present file; the next entry begins another."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)

    def _end(self) -> None:
        # A name that a power cut gives back to the file costs nothing: then the process is gone as well.
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._path.rename(self._path.with_suffix(_ENDED))

    async def close(self) -> None:
        """Wait for what is pending, and let go of the directory; what lies in it is still to be carried over."""
        if self._writing is not None:
            await self._writing
        if self._ending is not None:
            self._ending.cancel()
        await self.end()
        self._thread.shutdown()
        os.close(self._lock)


def _told(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.error("journal.not_ended", error=str(error))  # it is carried over when this process is gone


def framed(entry: Entry) -> bytes:
    """``entry`` as it is appended."""
    body = _encoder.encode(entry)
    return _HEAD.pack(_MARK, len(body), zlib.crc32(body)) + body


def read(data: bytes) -> tuple[list[Entry], int]:
    """The entries of one file, and how many octets at its end are none: a torn write, or damage."""
    entries: list[Entry] = []
    at = 0
    while at + _HEAD.size <= len(data):
        mark, length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if mark != _MARK or length > MAX_ENTRY or len(body) < length or zlib.crc32(body) != checksum:
            break
        try:
            entries.append(_decoder.decode(body))
        except msgspec.DecodeError:
            break
        at += _HEAD.size + length
    return entries, len(data) - at


def holds_more(data: bytes, rest: int) -> bool:
    """Whether an entry follows the ``rest`` octets that begin with none: then something that was whole is damaged."""
    at = len(data) - rest
    while (at := data.find(_MARK, at + 1)) >= 0:
        if read(data[at : at + _HEAD.size + MAX_ENTRY])[0]:
            return True
    return False


def segments(directory: Path) -> list[Path]:
    """All files of a journal, oldest first: of one whose process is gone."""
    return sorted(one for one in directory.iterdir() if one.suffix in (_SUFFIX, _ENDED))


def ended(directory: Path) -> list[Path]:
    """The files of a journal that nothing is appended to any more, oldest first."""
    return sorted(one for one in directory.iterdir() if one.suffix == _ENDED)


def journals(root: Path) -> Iterator[tuple[Path, int | None]]:
    """Every journal below ``root``; of one whose process is gone with its lock, which is the caller's to close."""
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.name.startswith("."):
            continue
        try:
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            yield directory, None
            continue
        yield directory, lock


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
