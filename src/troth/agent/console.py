"""Standard error that cannot fail: a full disk under the log must not stop what is being logged."""

from __future__ import annotations

import io
from typing import TextIO


class Console(io.TextIOBase):
    """Writes to ``stream``; what cannot be written is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return
