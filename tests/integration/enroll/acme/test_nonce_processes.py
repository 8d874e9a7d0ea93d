from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from troth.enroll.acme.nonce import NonceMap
from troth.kit.clock import SystemClock

SPAWN = multiprocessing.get_context("spawn")
WORKERS = 4
RING_BITS = 15


def consume_all(path: Path, nonces: list[str], start: Connection, report: Connection) -> None:
    opened = NonceMap(path, clock=SystemClock())
    report.send("ready")
    start.recv()
    report.send([index for index, nonce in enumerate(nonces) if opened.consume(nonce)])


def issue_and_consume(path: Path, rounds: int, start: Connection, report: Connection) -> None:
    opened = NonceMap(path, clock=SystemClock(), ring_bits=RING_BITS)
    report.send("ready")
    start.recv()
    made = []
    for _ in range(rounds):
        nonce = opened.issue()
        made.append((nonce, opened.consume(nonce), opened.consume(nonce)))
    report.send(made)


def run(target: object, path: Path, argument: object) -> list[list[object]]:
    starts, reports, processes = [], [], []
    for _ in range(WORKERS):
        start, their_start = SPAWN.Pipe()
        report, their_report = SPAWN.Pipe()
        process = SPAWN.Process(target=target, args=(path, argument, their_start, their_report))  # type: ignore[arg-type]
        process.start()
        starts.append(start)
        reports.append(report)
        processes.append(process)
    for report in reports:
        assert report.recv() == "ready"
    for start in starts:
        start.send("go")
    found = [report.recv() for report in reports]
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    return found


def test_processes_that_hammer_the_same_nonces_accept_each_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "nonces.map"
    giver = NonceMap(path, clock=SystemClock())
    nonces = [giver.issue() for _ in range(20_000)]
    accepted = [index for worker in run(consume_all, path, nonces) for index in worker]
    assert sorted(accepted) == list(range(len(nonces)))  # type: ignore[type-var]
    assert not any(giver.consume(nonce) for nonce in nonces)
    giver.close()


def test_processes_never_give_out_the_same_nonce_and_their_own_always_pass(tmp_path: Path) -> None:
    path = tmp_path / "nonces.map"
    before = NonceMap(path, clock=SystemClock(), ring_bits=RING_BITS)
    assert all(before.consume(before.issue()) for _ in range(1 << RING_BITS))
    # Every bit is set, and the workers clear all of them, each for itself. Together they go around the ring just once:
    # a worker that the scheduler parks for however long is overtaken by nobody, so what it has in its hand passes.
    rounds = (1 << RING_BITS) // WORKERS
    found = [made for worker in run(issue_and_consume, path, rounds) for made in worker]
    assert len({nonce for nonce, _, _ in found}) == len(found)  # type: ignore[misc, attr-defined]
    assert all(first for _, first, _ in found)  # type: ignore[misc, attr-defined]
    assert not any(second for _, _, second in found)  # type: ignore[misc, attr-defined]
    before.close()


def hold_until_killed(path: Path, report: Connection) -> None:
    opened = NonceMap(path, clock=SystemClock())
    used, unused = opened.issue(), opened.issue()
    assert opened.consume(used)
    report.send((used, unused))
    while True:
        nonce = opened.issue()
        opened.consume(nonce)


@pytest.mark.chaos
def test_a_killed_process_leaves_its_used_nonces_used_and_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "nonces.map"
    survivor = NonceMap(path, clock=SystemClock())
    for _ in range(3):
        report, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=hold_until_killed, args=(path, theirs))
        process.start()
        used, unused = report.recv()
        time.sleep(0.1)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not survivor.consume(used)
        assert survivor.consume(unused)
        assert survivor.consume(survivor.issue())
    survivor.close()
