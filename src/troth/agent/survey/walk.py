"""Files that may hold certificates, found within bounds: by name, not too deep, not too many, not for too long."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from troth.kit.clock import Clock

MAX_FILES, MAX_ENTRIES, MAX_DEPTH, MAX_SECONDS = 2000, 50_000, 8, 30.0
MAX_FILE = 1024 * 1024
MAX_TOLD = 40

_SUFFIXES = frozenset({
    ".pem", ".crt", ".cer", ".cert", ".der", ".p12", ".pfx", ".jks", ".jceks", ".ks", ".keystore", ".truststore",
})  # fmt: skip


@dataclass(slots=True)
class Walk:
    """One look through some places.

    Attributes:
        cut: what was not looked at, and why.
    """

    clock: Clock
    exclude: frozenset[str] = frozenset()
    cut: list[str] = field(default_factory=list)
    _entries: int = 0
    _files: int = 0
    _began: float = 0.0
    _full: bool = False

    def files(self, places: Iterable[Path]) -> Iterator[Path]:
        """Files in ``places``, each once. A file that is named itself is taken whatever it is called."""
        self._began = self.clock.monotonic()
        seen: set[tuple[int, int]] = set()
        for place in places:
            for path, about in self._in(place, 0, named=True):
                if (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    yield path

    def read(self, path: Path) -> bytes | None:
        """What is in a file; None if it cannot be read."""
        try:
            # Not blocking: somebody may have put a pipe there since it was looked at.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            with os.fdopen(descriptor, "rb") as opened:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                data = opened.read(MAX_FILE + 1)
        except OSError as error:
            self.tell(f"{path}: {error.strerror}")
            return None
        if len(data) > MAX_FILE:
            self.tell(f"{path}: larger than {MAX_FILE // 1024} KiB")
            return None
        return data

    def tell(self, what: str) -> None:
        """Note what was not looked at."""
        if len(self.cut) < MAX_TOLD:
            self.cut.append(what.encode("utf-8", "replace").decode()[:300])

    def _in(self, path: Path, depth: int, *, named: bool = False) -> Iterator[tuple[Path, os.stat_result]]:
        if self._is_full() or os.fspath(path) in self.exclude:
            return
        try:
            # A link to a file is followed (`live/`), one to a directory is not: it may lead in a ring, or anywhere.
            about = path.stat() if named or not path.is_symlink() else self._linked_file(path)
        except OSError as error:
            if not (named and isinstance(error, FileNotFoundError)):
                self.tell(f"{path}: {error.strerror}")
            return
        if about is None:
            return
        if stat.S_ISREG(about.st_mode):
            if named or path.suffix.lower() in _SUFFIXES or path.name == "cacerts":
                self._files += 1
                yield path, about
        elif stat.S_ISDIR(about.st_mode):
            if depth >= MAX_DEPTH:
                self.tell(f"{path}: deeper than {MAX_DEPTH}")
                return
            for name in self._names(path):
                yield from self._in(path / name, depth + 1)

    def _names(self, path: Path) -> list[str]:
        try:
            with os.scandir(path) as entries:
                found = sorted(entry.name for entry in entries)
        except OSError as error:
            self.tell(f"{path}: {error.strerror}")
            return []
        self._entries += len(found)
        return found

    @staticmethod
    def _linked_file(path: Path) -> os.stat_result | None:
        about = path.stat()
        return about if stat.S_ISREG(about.st_mode) else None

    def _is_full(self) -> bool:
        spent = self.clock.monotonic() - self._began
        full = self._files >= MAX_FILES or self._entries >= MAX_ENTRIES or spent > MAX_SECONDS
        if full and not self._full:
            self._full = True
            self.tell(f"stopped after {self._files} files, {self._entries} entries and {spent:.0f} s")
        return full
