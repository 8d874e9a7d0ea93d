"""A master and its workers, as real processes: what happens when one of them dies, or what they share has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

_SECONDS = 120


@dataclass
class Running:
    """A running master."""

    directory: Path
    process: subprocess.Popen[bytes]

    def lines(self) -> list[str]:
        """What its workers have said."""
        return (self.directory / "log").read_text().splitlines()

    def serving(self) -> list[tuple[int, int, int, int, str]]:
        """(number, place, generation, pid, what was built) of each worker that ever served."""
        told = [line.split(" ", 4) for line in self.lines() if line[0].isdigit()]
        return [(int(a), int(b), int(c), int(d), text) for a, b, c, d, text in told]

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + _SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.01)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Running]:
    """A master with two places that are served."""
    (tmp_path / "material").write_text("first")
    (tmp_path / "log").touch()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.preforking", str(tmp_path), "2"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield Running(tmp_path, process)
        finally:
            process.kill()


def test_every_place_is_served_by_what_the_master_built(master: Running) -> None:
    served = master.serving()

    assert {place for _, place, *_ in served} == {0, 1}
    assert {text for *_, text in served} == {f"first@{master.process.pid}"}
    assert len({number for number, *_ in served}) == 2
    assert {path.name for path in (master.directory / "mailboxes").iterdir()} == {str(one[0]) for one in served}


def test_a_worker_that_is_killed_is_followed_by_another_in_its_place(master: Running) -> None:
    number, place, _, pid, text = master.serving()[0]
    os.kill(pid, signal.SIGKILL)
    master.until(lambda: len(master.serving()) == 3)

    successor = master.serving()[-1]
    assert (successor[1], successor[4]) == (place, text)
    assert successor[0] != number
    assert f"gone {number}" in master.lines()


def test_the_trade_hears_whose_place_is_served_and_whose_is_not(master: Running) -> None:
    served = {number: place for number, place, *_ in master.serving()}
    master.until(lambda: _said_of_seats(master)[-1] == f"seated {sorted(served.items())} [0, 1]")
    number, place, _, pid, _ = master.serving()[0]
    os.kill(pid, signal.SIGKILL)
    master.until(lambda: len(master.serving()) == 3)
    master.until(lambda: _said_of_seats(master)[-1].endswith("[0, 1]"))

    seats, other = _said_of_seats(master), 1 - place
    del served[number]
    empty = seats.index(f"seated {sorted(served.items())} [{other}]")  # it has died
    successor = master.serving()[-1][0]
    seats_now = sorted((served | {successor: place}).items())
    assert seats[empty + 1 :] == [f"seated {seats_now} [{other}]", f"seated {seats_now} [0, 1]"]


def test_what_has_changed_is_served_by_a_new_generation_and_the_former_drains(master: Running) -> None:
    former = {number for number, *_ in master.serving()}
    (master.directory / "material").write_text("second")
    master.until(lambda: {f"gone {number}" for number in former} <= set(master.lines()))

    served = master.serving()[2:]
    assert [(place, generation) for _, place, generation, *_ in sorted(served, key=lambda one: one[1])] == [
        (0, 2), (1, 2),
    ]  # fmt: skip
    assert {text for *_, text in served} == {f"second@{master.process.pid}"}
    lines = master.lines()
    for number, place, *_ in served:
        predecessor = next(one[0] for one in master.serving() if one[1] == place and one[2] == 1)
        # It drains only once somebody serves in its place.
        said = next(at for at, line in enumerate(lines) if line.startswith(f"{number} {place} 2 "))
        assert lines.index(f"drained {predecessor}") > said


def test_a_hangup_asks_for_a_new_generation_of_the_same(master: Running) -> None:
    former = {number for number, *_ in master.serving()}
    master.process.send_signal(signal.SIGHUP)
    master.until(lambda: {f"gone {number}" for number in former} <= set(master.lines()))

    assert {(generation, text) for *_, generation, _, text in master.serving()[2:]} == {
        (2, f"first@{master.process.pid}")
    }


def test_a_stop_ends_all_in_order(master: Running) -> None:
    pids = [pid for *_, pid, _ in master.serving()]
    master.process.send_signal(signal.SIGTERM)

    assert master.process.wait(_SECONDS) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert sum(line.startswith("stopped ") for line in master.lines()) == 2


def test_workers_end_with_a_master_that_is_killed(master: Running) -> None:
    pids = [pid for *_, pid, _ in master.serving()]
    master.process.kill()
    master.process.wait(_SECONDS)

    master.until(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids))


def test_a_worker_that_cannot_even_begin_ends_the_start(tmp_path: Path) -> None:
    for name in ("material", "log", "fail"):
        (tmp_path / name).touch()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.preforking", str(tmp_path), "1"],
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert b"as asked" in done.stdout + done.stderr


def _said_of_seats(master: Running) -> list[str]:
    return [line for line in master.lines() if line.startswith("seated ")]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
