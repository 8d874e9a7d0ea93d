"""The ledger as tiles (C2SP tlog-tiles): files that never change, from which anybody proves the tree.

    checkpoint                     the newest signed note
    tile/<level>/<number>[.p/<w>]  256 hashes of a level, or the first <w> of them
    tile/entries/<number>[.p/<w>]  256 entries, each behind its length in two octets

An entry is what a leaf is the hash of: here the 32 octets SHA-256(salt ‖ payload), so tiles may lie in the open while
payloads do not. Numbers are written in groups of three digits (``x001/234``). No tile depends on when it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from troth.audit.errors import BAD_EXPORT, BadExport
from troth.audit.merkle import HASH_SIZE, node_hash

WIDTH = 256


@dataclass(frozen=True, slots=True)
class Tile:
    """A file of the log."""

    path: str
    content: bytes


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Where a tile lies. ``level`` may be ``entries``."""
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


class TileWriter:
    """Makes the tiles of a log that grows.

    It keeps the unfinished tile of each level, which :meth:`at` reads back from what was written.
    """

    def __init__(self) -> None:
        self._size = 0
        self._levels: list[list[bytes]] = []
        self._entries: list[bytes] = []

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @classmethod
    def at(cls, size: int, read: Callable[[str], bytes | None]) -> TileWriter:
        """A writer that goes on after ``size`` leaves. Raises BadExport when a tile is missing or of another size."""
        made = cls()
        made._size = size
        level, count = 0, size
        while count:
            number, width = divmod(count, WIDTH)
            made._levels.append(_hashes(read, level, number, width))
            level, count = level + 1, number
        number, width = divmod(size, WIDTH)
        if width:
            made._entries = _split_entries(_wanted(read, tile_path("entries", number, width)), width)
        return made

    def unfinished(self) -> list[str]:
        """Where the unfinished tiles of the present size lie."""
        found = []
        if self._size % WIDTH:
            found.append(tile_path("entries", self._size // WIDTH, self._size % WIDTH))
        level, count = 0, self._size
        while count:
            number, width = divmod(count, WIDTH)
            if width:
                found.append(tile_path(level, number, width))
            level, count = level + 1, number
        return found

    def append(self, rows: list[tuple[bytes, bytes]]) -> Iterator[Tile]:
        """Grow by (entry, leaf hash) each; the tiles that are new, full ones before the unfinished ones."""
        for entry, leaf in rows:
            self._entries.append(entry)
            if len(self._entries) == WIDTH:
                yield Tile(tile_path("entries", self._size // WIDTH), _join_entries(self._entries))
                self._entries = []
            yield from self._push(0, self._size, leaf)
            self._size += 1
        if not rows:
            return
        if self._entries:
            number = self._size // WIDTH
            yield Tile(tile_path("entries", number, len(self._entries)), _join_entries(self._entries))
        count = self._size
        for level, hashes in enumerate(self._levels):
            number = count // WIDTH
            if hashes:
                yield Tile(tile_path(level, number, len(hashes)), b"".join(hashes))
            count = number

    def _push(self, level: int, position: int, value: bytes) -> Iterator[Tile]:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(value)
        if len(hashes) == WIDTH:
            number = position // WIDTH
            yield Tile(tile_path(level, number), b"".join(hashes))
            self._levels[level] = []
            yield from self._push(level + 1, number, _root(hashes))


def _root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _hashes(read: Callable[[str], bytes | None], level: int, number: int, width: int) -> list[bytes]:
    if not width:
        return []
    content = _wanted(read, tile_path(level, number, width))
    if len(content) != width * HASH_SIZE:
        raise BadExport(BAD_EXPORT, f"{tile_path(level, number, width)} does not hold {width} hashes")
    return [content[start : start + HASH_SIZE] for start in range(0, len(content), HASH_SIZE)]


def _wanted(read: Callable[[str], bytes | None], path: str) -> bytes:
    content = read(path)
    if content is None:
        raise BadExport(BAD_EXPORT, f"{path} is missing")
    return content


def _join_entries(entries: list[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def _split_entries(content: bytes, count: int) -> list[bytes]:
    entries, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 2], "big")
        entries.append(content[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(content) or len(entries) != count:
        raise BadExport(BAD_EXPORT, "an entry bundle is damaged")
    return entries
