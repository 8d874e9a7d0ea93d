"""What the processes of one machine tell one another about the end of the log: one page of memory that all of them see.

One *answer* stands in it: how far the log had come, and what waited in its inbox, when one of them last asked the
database. Beside it each process has a *slot*: who it is, up to where it has applied the log, and when it was last seen
alive; and two *grants*: from when on its lease runs, and that of its life. A slot is written by its process alone,
answer and grants by whoever has asked; what two of them write at once, or what a process left half-written, has a wrong
checksum and counts as nothing. A grant names whom it is for: it is nothing to a process that has lost its slot to
another while it was suspended.

All times are of the machine's monotonic clock. What was written before the machine began anew does not count, nor what
a process says whose monotonic clock is another, that speaks with another database, or that writes other records.

It is a file in the installation's private directory that its owner alone may open, and one that another made, or may
write, is not used. Processes of one owner trust one another here as they do in the journal and on their sockets.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, Literal, TypeAlias
from uuid import UUID
from zlib import crc32

SLOTS: Final = 240
#: A process that was not seen for so long has ended without a word; its slot may be taken.
_GONE_SECONDS: Final = 10.0
#: Whoever has begun to ask is left in peace for so long.
_ASKING_SECONDS: Final = 0.3

#: asked at, beaten at, head, stalled, watched since, watched, oldest, newest.
_ANSWER: Final = Struct("<ddQ?d16s16s16s")
#: id, name, index, seen at.
_SLOT: Final = Struct("<16s8sqd")
#: id, from when on.
_GRANT: Final = Struct("<16sd")
_SUM: Final = Struct("<I")
_CLAIM: Final = Struct("<d")
_CLAIM_AT, _SLOTS_AT, _SLOT_SIZE, _GRANT_SIZE = 256, 512, 64, 32
_GRANTS_AT: Final = _SLOTS_AT + SLOTS * _SLOT_SIZE
_SIZE: Final = _GRANTS_AT + 2 * SLOTS * _GRANT_SIZE
#: To be another whenever what is written here, or what it means, is.
_FORM: Final = b"1"
_NOBODY: Final = bytes(16)
#: What is granted: that a point may vouch, that a process counts as alive.
Grant: TypeAlias = Literal[0, 1]
VOUCHED: Final = 0
ALIVE: Final = 1


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
    """

    asked_at: float
    beaten_at: float
    head: int
    oldest: UUID | None = None
    newest: UUID | None = None
    watched: UUID | None = None
    since: float = 0.0
    stalled: bool = False


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

    Raises OSError where it cannot be had. ``of``: what this is about; those who name another database have nothing to
    do with one another, though they share a page.
    """

    def __init__(self, path: Path | None, of: str = "") -> None:
        self._salt = crc32(_FORM + of.encode(), crc32(_machine()))
        if path is None:
            self._page = mmap.mmap(-1, _SIZE)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise PermissionError(errno.EPERM, "others than its owner may write it", str(path))
            # Has its room on the disk or in memory now: to write to a page without any would end the process.
            os.posix_fallocate(descriptor, 0, _SIZE)
            self._page = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    # --- the answer --------------------------------------------------------------------------------------------------

    def answer(self) -> Answer | None:
        """The present answer; None: there is none."""
        raw = self._checked(0, _ANSWER.size)
        if raw is None:
            return None
        asked, beaten, head, stalled, since, watched, oldest, newest = _ANSWER.unpack(raw)
        return Answer(asked, beaten, head, _uuid(oldest), _uuid(newest), _uuid(watched), since, stalled)

    def tell(self, one: Answer) -> None:
        """Put an answer in the place of the present one, unless that was asked for later."""
        present = self.answer()
        if present is not None and present.asked_at > one.asked_at:
            return
        raw = _ANSWER.pack(
            one.asked_at, one.beaten_at, one.head, one.stalled, one.since, _octets(one.watched), _octets(one.oldest),
            _octets(one.newest),
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
        """A slot of one's own; None: there is none left.

        Two may take the same at once. The later has it, and the other sees that when it next looks (:meth:`holder`).
        """
        taken = {one.number for one in self.slots() if 0 <= now - one.seen_at < _GONE_SECONDS}
        number = next((one for one in range(SLOTS) if one not in taken), None)
        if number is not None:
            self.see(Slot(number, id, name, -1, now))
        return number

    def holder(self, number: int) -> UUID | None:
        """Whose slot it is; None: nobody's, or it is being written."""
        raw = self._checked(_SLOTS_AT + number * _SLOT_SIZE, _SLOT.size)
        return None if raw is None else UUID(bytes=_SLOT.unpack(raw)[0])

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

    # --- what is granted -------------------------------------------------------------------------------------------

    def grant(self, what: Grant, to: Slot, at: float) -> None:
        """Say that the lease of ``to`` runs from ``at`` on."""
        if self.granted(what, to.number, to.id) < at:
            self._put(_grant_at(what, to.number), _GRANT.pack(to.id.bytes, at))

    def granted(self, what: Grant, number: int, id: UUID) -> float:
        """From when on the lease of the process ``id`` in the slot ``number`` runs; minus infinity: it has none."""
        raw = self._checked(_grant_at(what, number), _GRANT.size)
        if raw is None:
            return float("-inf")
        to, at = _GRANT.unpack(raw)
        return at if to == id.bytes else float("-inf")

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


def _grant_at(what: Grant, number: int) -> int:
    return _GRANTS_AT + (what * SLOTS + number) * _GRANT_SIZE


def _machine() -> bytes:
    """Another whenever the machine has begun anew, and for those whose monotonic clock counts from elsewhere."""
    found = b""
    try:
        found += Path("/proc/sys/kernel/random/boot_id").read_bytes()
        found += os.fsencode(os.readlink("/proc/self/ns/time"))
    except OSError:  # a kernel without either, or a container that hides it
        pass
    return found


def _uuid(raw: bytes) -> UUID | None:
    return None if raw == _NOBODY else UUID(bytes=raw)


def _octets(id: UUID | None) -> bytes:
    return _NOBODY if id is None else id.bytes
