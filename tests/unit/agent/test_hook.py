"""Programs of the operator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from troth.agent import hook
from troth.agent.errors import HOOK_FAILED, AgentError


async def refusal(*command: str, timeout: float = 60.0) -> str:
    with pytest.raises(AgentError) as refused:
        await hook.run(command, {}, timeout)
    assert refused.value.reason is HOOK_FAILED
    return refused.value.detail


async def test_what_it_says_is_given_back_and_it_reads_nothing() -> None:
    assert await hook.run(["/bin/sh", "-c", "cat; echo $X; echo two >&2"], {"X": "one"}, 60) == "one\ntwo"


async def test_a_failure_is_told_with_the_end_of_what_it_said() -> None:
    assert await refusal("/bin/sh", "-c", "echo it is broken; exit 3") == "/bin/sh ended with 3: it is broken"
    assert await refusal("/bin/false") == "/bin/false ended with 1: it said nothing"
    assert "cannot be started: No such file" in await refusal("/no/such/program")
    told = await refusal("/bin/sh", "-c", r"yes long | head -10000; printf '\033[31mend'; exit 1")
    assert len(told) < 1600
    assert told.endswith("?[31mend"), "no escape sequence reaches a terminal"


async def test_its_time_is_up() -> None:
    assert await refusal("/bin/sleep", "60", timeout=0.1) == "/bin/sleep has not ended within 0.1 seconds"


async def test_it_is_ended_with_its_children(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    running = asyncio.create_task(
        hook.run(["/bin/sh", "-c", f"sleep 600 & echo $! > {place}.new; mv {place}.new {place}; wait"], {}, 600)
    )
    while not place.exists():
        await asyncio.sleep(0.01)
    child = psutil.Process(int(place.read_text()))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        await asyncio.sleep(0.01)


async def test_a_child_that_it_leaves_behind_is_not_waited_for() -> None:
    child = int(await hook.run(["/bin/sh", "-c", "sleep 600 & echo $!"], {}, 60))
    psutil.Process(child).kill()


async def test_of_the_agents_environment_it_gets_what_programs_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TROTH__DATABASE__URL", "postgresql://secret")
    said = await hook.run(["/usr/bin/env"], {"TROTH_CERTIFICATE": "web"}, 60)
    assert "TROTH_CERTIFICATE=web" in said
    assert "TZ=UTC" in said
    assert "secret" not in said
