"""The journal's file: what is read is what was written, whatever is torn or damaged."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trust.policies import HEALTHY, client_device, taken
from troth.trust.connecting.journal import Entry, Journal, ended, framed, holds_more, read, segments
from troth.trust.decision.judge import judge
from troth.trust.errors import JournalError
from troth.trust.model import decode_decision

SNAPSHOT = taken(HEALTHY, asked="client-device")
MADE = [(judge(client_device(), SNAPSHOT), SNAPSHOT)]


def entry(number: int) -> Entry:
    return Entry(number, "application:vpn", ("r",), msgspec.Raw(b'{"a":1}'), msgspec.Raw(b"{}"))


@given(st.integers(0, 5), st.integers(0, 400))
def test_a_file_cut_anywhere_gives_the_entries_that_are_whole(count: int, cut: int) -> None:
    data = b"".join(framed(entry(number)) for number in range(count))
    size = len(framed(entry(0)))
    entries, rest = read(data[: max(0, len(data) - cut)])
    kept = max(0, len(data) - cut)
    assert [one.number for one in entries] == list(range(kept // size))
    assert rest == kept % size


@given(st.binary(max_size=200))
def test_no_octets_break_the_reader(data: bytes) -> None:
    entries, rest = read(data)
    assert not entries
    assert rest == len(data)
    assert not holds_more(data, rest)


def test_damage_in_the_middle_is_told_from_a_torn_end() -> None:
    data = b"".join(framed(entry(number)) for number in range(3))
    size = len(framed(entry(0)))
    damaged = data[: size + 14] + b"X" + data[size + 15 :]
    entries, rest = read(damaged)
    assert (len(entries), rest) == (1, 2 * size)
    assert holds_more(damaged, rest)
    _, rest = read(data[:-1])
    assert not holds_more(data[:-1], rest)


async def test_those_who_wait_together_share_a_sync_and_none_returns_before_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    await asyncio.gather(*(journal.record(MADE, actor="a") for _ in range(50)))
    await journal.end()
    [path] = ended(journal.directory)
    entries, rest = read(path.read_bytes())
    assert ([one.number for one in entries], rest) == (list(range(1, 51)), 0)
    assert decode_decision(bytes(entries[0].decision)) == MADE[0][0]
    await journal.close()


async def test_a_write_comes_back_when_the_disk_has_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    await journal.record(MADE, actor="a")
    [path] = segments(journal.directory)
    [number] = [one.name for one in Path("/proc/self/fd").iterdir() if one.exists() and one.resolve() == path]
    flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/self/fdinfo/{number}").read_text())
    assert flags is not None
    assert int(flags[1], 8) & os.O_DSYNC
    await journal.close()


async def test_whoever_comes_soon_after_a_write_waits_for_the_next_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.trust.connecting.journal._PACE", 1.0)
    write, sizes = os.write, list[int]()

    def counted(file: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(file, data)

    journal = Journal.open(tmp_path / "journal")
    with monkeypatch.context() as patch:
        patch.setattr("troth.trust.connecting.journal.os.write", counted)
        await journal.record(MADE, actor="a")
        later = []
        for _ in range(3):
            later.append(asyncio.create_task(journal.record(MADE, actor="a")))
            await asyncio.sleep(0.01)
        await asyncio.gather(*later)
    assert sizes == [sizes[0], 3 * sizes[0]]
    await journal.close()


async def test_files_are_begun_anew_at_their_size(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", segment=1)
    for _ in range(3):
        await journal.record(MADE, actor="a")
    names = ["00000001.ended", "00000002.ended", "00000003.journal"]
    assert [path.name for path in segments(journal.directory)] == names
    assert [path.name for path in ended(journal.directory)] == names[:2]
    await journal.close()
    assert len(ended(journal.directory)) == 3


async def test_a_file_ends_by_itself_so_that_whoever_drains_may_have_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", ends=0.01)
    for number in (1, 2):
        await journal.record(MADE, actor="a")
        while len(ended(journal.directory)) < number:
            await asyncio.sleep(0.01)
    assert [read(path.read_bytes())[0][0].number for path in ended(journal.directory)] == [1, 2]
    await journal.close()


async def test_more_than_the_disk_can_take_is_refused_and_not_kept_waiting(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", max_pending=3)
    outcomes = await asyncio.gather(*(journal.record(MADE, actor="a") for _ in range(8)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, JournalError)]
    assert {one.code for one in refused} == {"trust.journal.full"}
    assert outcomes.count(None) == 8 - len(refused) == 3
    await journal.close()


async def test_after_a_failed_write_nothing_is_acknowledged_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "journal")
    await journal.record(MADE, actor="a")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("troth.trust.connecting.journal.os.write", full)
        with pytest.raises(JournalError, match="No space left"):
            await journal.record(MADE, actor="a")
    with pytest.raises(JournalError, match="an earlier write failed"):
        await journal.record(MADE, actor="a")
    assert len(read(segments(journal.directory)[0].read_bytes())[0]) == 1
    await journal.close()
