"""Tiles: from them anybody computes the root that the ledger has, whenever the writer was interrupted."""

from __future__ import annotations

from hashlib import sha256

import pytest

from troth.audit.errors import BadExport
from troth.audit.merkle import HASH_SIZE, Frontier, leaf_hash, root_of
from troth.audit.tiles import WIDTH, TileWriter, tile_path


def rows(start: int, end: int) -> list[tuple[bytes, bytes]]:
    entries = [sha256(str(number).encode()).digest() for number in range(start, end)]
    return [(entry, leaf_hash(entry)) for entry in entries]


def write(*ends: int) -> dict[str, bytes]:
    """The files after passes that end at ``ends``, each by a writer that was made anew."""
    files: dict[str, bytes] = {}
    start = 0
    for end in ends:
        writer = TileWriter.at(start, files.get)
        for tile in writer.append(rows(start, end)):
            files[tile.path] = tile.content
        start = end
    return files


def leaves_of(files: dict[str, bytes], size: int) -> list[bytes]:
    found = b""
    for number in range(size // WIDTH):
        found += files[tile_path(0, number)]
    if size % WIDTH:
        found += files[tile_path(0, size // WIDTH, size % WIDTH)]
    return [found[at : at + HASH_SIZE] for at in range(0, len(found), HASH_SIZE)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600, 1024])
def test_the_leaves_in_the_tiles_have_the_ledgers_root(size: int) -> None:
    frontier = Frontier()
    frontier.extend(leaf for _, leaf in rows(0, size))
    assert root_of(leaves_of(write(size), size)) == frontier.root()


def test_a_level_holds_the_roots_of_the_full_tiles_below() -> None:
    files = write(600)
    assert files[tile_path(1, 0, 2)] == root_of(leaves_of(files, 256)) + root_of(leaves_of(files, 512)[256:])


@pytest.mark.parametrize("ends", [(1, 2, 700), (256, 700), (255, 256, 257, 511, 513, 700), (300, 301, 700)])
def test_a_writer_that_was_interrupted_goes_on_to_the_same_files(ends: tuple[int, ...]) -> None:
    whole, pieces = write(700), write(*ends)
    assert whole.items() <= pieces.items()


def test_entries_lie_behind_their_length() -> None:
    entry = rows(0, 1)[0][0]
    assert write(1)[tile_path("entries", 0, 1)] == b"\x00\x20" + entry


def test_a_missing_or_shortened_tile_is_no_place_to_go_on_from() -> None:
    files = write(300)
    for path in (tile_path(0, 1, 44), tile_path("entries", 1, 44)):
        with pytest.raises(BadExport):
            TileWriter.at(300, {**files, path: files[path][:-1]}.get)
        with pytest.raises(BadExport):
            TileWriter.at(300, {name: one for name, one in files.items() if name != path}.get)


@pytest.mark.parametrize(("number", "path"), [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_numbers_are_written_in_groups_of_three(number: int, path: str) -> None:
    assert tile_path(0, number) == f"tile/0/{path}"
    assert tile_path(2, number, 5) == f"tile/2/{path}.p/5"
