"""What the workers of one machine know of one another: a page of shared memory, each row written by one of them.

A new conversation goes to whoever has clearly less to do. What a worker has to do is what is under way there and what
has begun there within the last moments, since a conversation costs most at its beginning and keeps nothing before its
first TLS octet. A count in memory is only as fresh as its writer, and what was handed over and not yet taken up is in
nobody's count: so each receiver also writes how many it has taken from whom, and whoever hands over adds what is still
on the way.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

NUMBERS = 256
#: Columns of a row before those that say what was taken from whom.
_STATE, _BIRTH, _LIVE, _RECENT, _AT, _TAKEN = 0, 1, 2, 3, 4, 5
_WIDTH = _TAKEN + NUMBERS
_STARTING, _ACCEPTING, _DRAINING = 3, 1, 2
#: What has begun counts half after so many seconds; kept in 256ths.
_HALF_SECONDS = 0.25
_FRACTION = 256
#: Less by so much is clearly less: to hand over costs a little, too. Where the kernel spreads what begins already,
#: chance makes differences that even out by themselves: there it is so much, and this share of what one has to do.
_MARGIN, _MARGIN_STEERED, _SHARE_STEERED = 1.0, 8.0, 0.25
_MASK = 0xFFFF_FFFF


class Board:
    """Made before the workers are forked. ``rows`` of numbers that nobody has are zero."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, NUMBERS * _WIDTH * 4)).cast("I")
        #: How often somebody sat down, or began to accept; whether the kernel spreads what begins.
        self._changes = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("I")

    def sit(self, number: int, monotonic: Callable[[], float]) -> Row:
        """The row of this process, cleared; see :meth:`Row.accept`. The clock is the same for all of a machine."""
        start = number * _WIDTH
        for column in range(_WIDTH):
            self._cells[start + column] = 0
        self._cells[start + _BIRTH] = self.change()
        self._cells[start + _STATE] = _STARTING
        return Row(self, number, monotonic)

    def get(self, number: int, column: int) -> int:
        """One cell."""
        return self._cells[number * _WIDTH + column]

    def put(self, number: int, column: int, value: int) -> None:
        """Write a cell of one's own row."""
        self._cells[number * _WIDTH + column] = value

    def load(self, number: int, now: float) -> float:
        """What that worker has to do, in conversations."""
        start = number * _WIDTH
        age = ((int(now * 1000) - self._cells[start + _AT]) & _MASK) / 1000
        recent = self._cells[start + _RECENT] / _FRACTION
        # Of two writes that are not one, a reader may see the first alone: an age beyond all sense is no age.
        return self._cells[start + _LIVE] + (recent * 0.5 ** (age / _HALF_SECONDS) if age < 60 else 0.0)

    def accepting(self) -> list[int]:
        """The numbers of those who take new conversations."""
        return [number for number in range(NUMBERS) if self._cells[number * _WIDTH] == _ACCEPTING]

    def clear(self, number: int) -> None:
        """The worker with this number is gone."""
        self._cells[number * _WIDTH] = 0

    @property
    def changes(self) -> int:
        """Changes whenever somebody sits down, or accepts."""
        return self._changes[0]

    @property
    def steered(self) -> bool:
        """Whether the kernel spreads what begins over the workers (``steering``)."""
        return bool(self._changes[1])

    def steer(self, on: bool) -> None:
        """Written by the master."""
        self._changes[1] = on

    def change(self) -> int:
        """Have everybody look anew who accepts."""
        self._changes[0] = (self._changes[0] + 1) & _MASK
        return self._changes[0]


class Row:
    """One worker's view of the board."""

    def __init__(self, board: Board, number: int, monotonic: Callable[[], float]) -> None:
        self._board = board
        self.number = number
        self._monotonic = monotonic
        #: number → (its birth, what it had taken from us at first sight, what we have handed to it since).
        self._handed: dict[int, tuple[int, int, int]] = {}
        self._others: list[int] = []
        self._seen = -1
        self._look_in = 0
        #: What has begun here, as it counted when the last one did.
        self._recent, self._at = 0.0, monotonic()

    def live(self, number: int) -> None:
        """So many conversations are under way here."""
        self._board.put(self.number, _LIVE, number)

    def begun(self) -> None:
        """One has begun here."""
        now = self._monotonic()
        self._recent = 1.0 + self._recent * 0.5 ** ((now - self._at) / _HALF_SECONDS)
        self._at = now
        self._board.put(self.number, _RECENT, int(self._recent * _FRACTION))
        self._board.put(self.number, _AT, int(now * 1000) & _MASK)

    def accept(self) -> None:
        """Conversations are taken from now on: not before, or they would wait until this process has all it needs."""
        self._board.put(self.number, _STATE, _ACCEPTING)
        self._board.change()

    def drain(self) -> None:
        """Nothing new is handed to us from now on."""
        self._board.put(self.number, _STATE, _DRAINING)

    def leave(self) -> None:
        """We are gone."""
        self._board.clear(self.number)

    def took(self, sender: int) -> None:
        """A new conversation came from ``sender``."""
        column = _TAKEN + sender
        self._board.put(self.number, column, self._board.get(self.number, column) + 1 & _MASK)

    def least(self) -> int:
        """Who should have the next conversation: ourselves unless somebody accepting has clearly less to do."""
        others = self._accepting()
        if not others:
            return self.number
        now = self._monotonic()
        best, load = self.number, self._board.load(self.number, now)
        load -= _MARGIN_STEERED + load * _SHARE_STEERED if self._board.steered else _MARGIN
        for other in others:
            theirs = self._board.load(other, now) + self._on_the_way(other)
            if theirs <= load:
                best, load = other, theirs
        return best

    def handed(self, other: int) -> None:
        """A new conversation has been sent to ``other``."""
        birth, base, count = self._record(other)
        self._handed[other] = birth, base, count + 1

    def _on_the_way(self, other: int) -> int:
        if other not in self._handed:
            return 0
        _, base, count = self._record(other)
        taken = self._board.get(other, _TAKEN + self.number)
        return max(0, count - ((taken - base) & _MASK))

    def _record(self, other: int) -> tuple[int, int, int]:
        birth = self._board.get(other, _BIRTH)
        known = self._handed.get(other)
        if known is None or known[0] != birth:
            known = self._handed[other] = birth, self._board.get(other, _TAKEN + self.number), 0
        return known

    def _accepting(self) -> list[int]:
        # Who left is noticed every few looks: what is sent to it meanwhile comes back as an error, and is kept.
        self._look_in -= 1
        if self._seen != self._board.changes or self._look_in < 0:
            self._seen, self._look_in = self._board.changes, 256
            self._others = [one for one in self._board.accepting() if one != self.number]
        return self._others
