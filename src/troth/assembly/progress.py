"""What a person sees of a start: one line per step on standard error, with how long it took."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from troth.kit.clock import Clock

if TYPE_CHECKING:
    from rich.console import Console


class Progress:
    """Steps told as they happen: with a spinner on a terminal, as plain lines elsewhere, not at all when quiet."""

    def __init__(self, clock: Clock, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._clock = clock
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._console: Console | None = None
        if not quiet and self._stream.isatty():
            from rich.console import Console

            self._console = Console(file=self._stream, highlight=False)

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[Step]:
        """One step, worded in the present: ``starting PostgreSQL``. The line ends with what :class:`Step` was told."""
        step = Step()
        begun = self._clock.monotonic()
        spinner = self._console.status(f"{doing} …") if self._console is not None else contextlib.nullcontext()
        try:
            with spinner:
                yield step
        except BaseException:
            self._line("✗", doing, "")
            raise
        taken = self._clock.monotonic() - begun
        self._line("✓", doing, "; ".join([*step.notes, *([f"{taken:.1f} s"] if taken >= 0.1 else [])]))

    def tell(self, text: str) -> None:
        """A line (or several) of its own."""
        if self._console is not None:
            self._console.print(text, markup=False)
        elif not self._quiet:
            print(text, file=self._stream, flush=True)

    def _line(self, mark: str, doing: str, notes: str) -> None:
        text = f"{mark} {doing}" + (f" ({notes})" if notes else "")
        if self._console is not None:
            self._console.print(text, markup=False, style="red" if mark == "✗" else None)
        else:
            self.tell(text)


class Step:
    """Collects what is worth knowing about a step."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Add ``text`` to the step's line."""
        if text:
            self.notes.append(text)
