"""The fork server: what it makes, what it tells, and what happens when it or one of its children dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.integration.assembly.test_supervisor import eventually
from tests.support.dns import DnsServer
from tests.support.running import RunningTroth, make_troth
from tests.support.webroot import ChallengeWebRoot
from troth.assembly.context import Inherited
from troth.assembly.errors import AssemblyError
from troth.assembly.forking import ForkServer
from troth.assembly.layout import Layout


@asynccontextmanager
async def forks(data: Path) -> AsyncIterator[ForkServer]:
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT)
    server = ForkServer(Layout.at(data), lock, os.environ)
    server.start()
    try:
        yield server
    finally:
        await server.close()
        os.close(lock)


def inheritance(parent: int, pipe: int) -> Inherited:
    return Inherited(parent=parent, index=0, sockets={}, ready=pipe, gate=None, lifeline=pipe, database_url="")


async def test_the_end_of_a_child_is_told_with_its_exit_code(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    async with forks(tmp_path) as server:
        child = await server.launch("status", inheritance(server.holder(), writable))
        os.close(writable)
        assert await child.wait(30)
        assert child.status == 1  # the directory is not prepared
        assert os.read(readable, 1) == b""  # its end of the pipe is closed: nobody else held it
    os.close(readable)


async def test_a_fork_server_that_dies_is_told_to_whoever_waits_and_replaced_for_the_next(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    async with forks(tmp_path) as server:
        first = server.holder()
        waiting = asyncio.create_task(server.launch("status", inheritance(first, writable)))
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(AssemblyError, match="fork server"):
            await waiting
        assert server.holder() != first
        child = await server.launch("status", inheritance(server.holder(), writable))
        assert await child.wait(30)
    os.close(readable)
    os.close(writable)


def test_descriptors_sent_by_their_place_come_out_under_their_new_numbers() -> None:
    sent = Inherited(
        parent=1, index=0, sockets={"https": [20, 21], "admin": [22]}, ready=9, gate=7, lifeline=8, database_url="x"
    )
    arrived = sent.by_place().renumbered([30 + place for place in range(len(sent.descriptors()))])
    assert arrived.descriptors() == (30, 31, 32, 33, 34, 35)
    assert (arrived.ready, arrived.gate, arrived.lifeline) == (30, 31, 32)
    assert arrived.sockets == {"https": [33, 34], "admin": [35]}


@pytest.fixture
def forked(tmp_path: Path, applicant: tuple[ChallengeWebRoot, DnsServer]) -> Iterator[RunningTroth]:
    running = make_troth(tmp_path / "data", *applicant).start()
    yield running
    if running.running:
        running.stop()


def test_a_killed_role_comes_back_and_a_killed_fork_server_takes_its_roles_along_and_all_come_back(
    forked: RunningTroth,
) -> None:
    signer, status = forked.role("signer")[0], forked.role("status")[0]
    server = status.parent()
    assert server is not None
    assert "troth forkserver" in " ".join(server.cmdline())
    assert signer.ppid() != server.pid  # the signer shares no memory with the rest
    assert server.parent() == signer.parent()
    assert {os.sched_getscheduler(one.pid) for one in forked.role("web")} == {os.SCHED_BATCH}
    assert {os.sched_getscheduler(one.pid) for one in (signer, status, server)} == {os.SCHED_OTHER}

    status.kill()
    eventually(lambda: [one for one in forked.role("status") if one.pid != status.pid] != [])
    eventually(lambda: _alive(forked))
    assert "was killed by SIGKILL" in forked.log()

    before = [one for name in ("web", "status", "worker") for one in forked.role(name)]
    server.kill()
    assert psutil.wait_procs(before, timeout=120)[1] == []
    eventually(lambda: _alive(forked) and len(forked.role("web")) == len(forked.role("worker")) + 1)
    assert forked.role("signer") == [signer]
    assert forked.stop() == 0


def _alive(troth: RunningTroth) -> bool:
    try:
        return all(troth.get(f"{troth.summary[name]}/livez")[0] == 200 for name in ("http_url", "https_url"))
    except OSError:
        return False
