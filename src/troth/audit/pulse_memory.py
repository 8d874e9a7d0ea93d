"""What the processes of one machine tell one another about the end of the log: one page of memory that all of them see.

One *answer* stands in it: how far the log had come, and what waited in its inbox, when one of them last asked the
database. Beside it each process has a *slot*: who it is, up to where it has applied the log, and when it was last seen
alive. A slot is written by its process alone, the answer by whoever has asked; what two of them write at once, or what
a process left half-written, has a wrong checksum and counts as nothing.

All times are of the machine's monotonic clock. What was written before the machine began anew does not count either.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final
from uuid import UUID
from zlib import crc32

SLOTS: Final = 240
#: A process that was not seen for so long has ended without a word; its slot may be taken.
_GONE_SECONDS: Final = 10.0
#: Whoever has begun to ask is left in peace for so long.
_ASKING_SECONDS: Final = 0.3

#: asked at, beaten at, head, stalled, watched since, watched, oldest, newest; and whose rows were renewed: of points,
#: of processes.
_ANSWER: Final = Struct("<ddQ?d16s16s16s30s30s")
#: id, name, index, seen at.
_SLOT: Final = Struct("<16s8sqd")
_SUM: Final = Struct("<I")
_CLAIM: Final = Struct("<d")
_CLAIM_AT, _SLOTS_AT, _SLOT_SIZE = 256, 512, 64
_SIZE: Final = _SLOTS_AT + SLOTS * _SLOT_SIZE
_NOBODY: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said when it was last asked.

    Attributes:
        asked_at: before it was asked.
        beaten_at: before it was last asked to renew the rows of processes.
        head: how many events the log had.
        oldest, newest: of the events without an index; None: there were none.
        watched, since: up to which of them was noticed when, so that it is known how long they wait.
        stalled: they have waited for too long: nobody vouches for anything.
        points, instances: numbers of the slots whose rows were renewed.
    """

    asked_at: float
    beaten_at: float
    head: int
    oldest: UUID | None = None
    newest: UUID | None = None
    watched: UUID | None = None
    since: float = 0.0
    stalled: bool = False
    points: frozenset[int] = frozenset()
    instances: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Slot:
    """One process. ``index``: everything below it is applied; -1: it vouches for nothing."""

    number: int
    id: UUID
    name: str
    index: int
    seen_at: float


class Memory:
    """One process's view of the page at ``path``, which is made where it is missing. None: a page of its own.

    Raises OSError where it cannot be had.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._salt = crc32(_boot())
        if path is None:
            self._page = mmap.mmap(-1, _SIZE)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                os.ftruncate(descriptor, _SIZE)
            self._page = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    # --- the answer --------------------------------------------------------------------------------------------------

    def asked_at(self) -> float:
        """When the present answer was asked for, unchecked: whether there is another than before."""
        at: float = _CLAIM.unpack_from(self._page, 0)[0]
        return at

    def answer(self) -> Answer | None:
        """The present answer; None: there is none."""
        raw = self._checked(0, _ANSWER.size)
        if raw is None:
            return None
        asked, beaten, head, stalled, since, watched, oldest, newest, points, instances = _ANSWER.unpack(raw)
        return Answer(
            asked, beaten, head, _uuid(oldest), _uuid(newest), _uuid(watched), since, stalled,
            frozenset(_numbers(points)), frozenset(_numbers(instances)),
        )  # fmt: skip

    def tell(self, one: Answer) -> None:
        """Put an answer in the place of the present one, unless that was asked for later."""
        present = self.answer()
        if present is not None and present.asked_at > one.asked_at:
            return
        raw = _ANSWER.pack(
            one.asked_at, one.beaten_at, one.head, one.stalled, one.since, _octets(one.watched), _octets(one.oldest),
            _octets(one.newest), _bits(one.points), _bits(one.instances),
        )  # fmt: skip
        self._put(0, raw)

    def claim(self, now: float) -> bool:
        """Whether to ask now: nobody has just begun to."""
        begun: float = _CLAIM.unpack_from(self._page, _CLAIM_AT)[0]
        if 0 <= now - begun < _ASKING_SECONDS:
            return False
        _CLAIM.pack_into(self._page, _CLAIM_AT, now)
        return True

    def settle(self) -> None:
        """Nobody asks any more."""
        _CLAIM.pack_into(self._page, _CLAIM_AT, float("-inf"))

    # --- the processes -----------------------------------------------------------------------------------------------

    def join(self, id: UUID, name: str, now: float) -> int | None:
        """A slot of one's own; None: there is none left."""
        with self._alone():
            taken = {one.number for one in self.slots() if 0 <= now - one.seen_at < _GONE_SECONDS}
            number = next((one for one in range(SLOTS) if one not in taken), None)
            if number is not None:
                self.see(Slot(number, id, name, -1, now))
            return number

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else joins meanwhile."""
        if self._path is None:
            yield
            return
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def see(self, one: Slot) -> None:
        """Write one's own slot."""
        raw = _SLOT.pack(one.id.bytes, one.name.encode()[:8], one.index, one.seen_at)
        self._put(_SLOTS_AT + one.number * _SLOT_SIZE, raw)

    def leave(self, number: int) -> None:
        """Clear one's own slot."""
        at = _SLOTS_AT + number * _SLOT_SIZE
        self._page[at : at + _SLOT_SIZE] = bytes(_SLOT_SIZE)

    def slots(self) -> Iterator[Slot]:
        """All that are written."""
        for number in range(SLOTS):
            raw = self._checked(_SLOTS_AT + number * _SLOT_SIZE, _SLOT.size)
            if raw is not None:
                id, name, index, seen_at = _SLOT.unpack(raw)
                yield Slot(number, UUID(bytes=id), name.rstrip(b"\0").decode(), index, seen_at)

    def close(self) -> None:
        """Look no more."""
        self._page.close()

    # --- octets ------------------------------------------------------------------------------------------------------

    def _put(self, at: int, raw: bytes) -> None:
        self._page[at : at + len(raw) + _SUM.size] = raw + _SUM.pack(crc32(raw, self._salt))

    def _checked(self, at: int, size: int) -> bytes | None:
        whole = self._page[at : at + size + _SUM.size]
        raw = whole[:size]
        # What was never written is zero, which no checksum here comes to but by chance of the salt.
        return raw if any(raw) and _SUM.unpack(whole[size:])[0] == crc32(raw, self._salt) else None


def _boot() -> bytes:
    """Something that is another whenever this machine has begun anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return b""


def _uuid(raw: bytes) -> UUID | None:
    return None if raw == _NOBODY else UUID(bytes=raw)


def _octets(id: UUID | None) -> bytes:
    return _NOBODY if id is None else id.bytes


def _bits(numbers: Iterable[int]) -> bytes:
    return sum(1 << number for number in numbers).to_bytes(SLOTS // 8, "little")


def _numbers(bits: bytes) -> Iterator[int]:
    left = int.from_bytes(bits, "little")
    while left:
        low = left & -left
        yield low.bit_length() - 1
        left ^= low
