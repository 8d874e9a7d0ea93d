"""The agent killed before each touch of the disk, and the disk full at each: one order, and key and certificate fit."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from tests.support.agents import Workshop, fits, root
from troth.agent.errors import DISK, AgentError
from troth.agent.keeper import Look
from troth.agent.keys.model import HeldKey
from troth.agent.settings import CertificateSettings, CommandSettings, OutputSettings
from troth.kit.clock import FakeClock

pytestmark = pytest.mark.chaos

#: What changes something on the disk that a crash could leave half done.
_TOUCHES: tuple[tuple[Any, str], ...] = (
    (os, "open"), (os, "write"), (os, "fsync"), (Path, "rename"), (Path, "symlink_to"), (Path, "mkdir"),
)  # fmt: skip


@contextmanager
def touching(before: Callable[[int], None]) -> Iterator[list[int]]:
    """Call ``before(n)`` before the n-th touch."""
    count = [0]

    def counted(real: Any) -> Any:
        def touch(*arguments: Any, **named: Any) -> Any:
            writes = getattr(real, "__name__", "") != "open" or (len(arguments) > 1 and bool(arguments[1] & os.O_CREAT))
            if writes:
                count[0] += 1
                before(count[0])
            return real(*arguments, **named)

        return touch

    patches = [patch.object(owner, name, counted(getattr(owner, name))) for owner, name in _TOUCHES]
    try:
        for one in patches:
            one.start()
        yield count
    finally:
        for one in patches:
            one.stop()


@pytest.fixture
def workshop(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    # A killed process leaves its page cache behind: only a power cut would need the disk itself.
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    (tmp_path / "etc").mkdir()
    settings = CertificateSettings(
        names=("www.example.org",),
        output=(
            OutputSettings(form="fullchain", path=f"{tmp_path}/etc/web.pem"),
            OutputSettings(form="key", path=f"{tmp_path}/etc/web.key"),
            OutputSettings(form="bundle", path=f"{tmp_path}/etc/copy.pem", copy=True),
        ),
    )
    return Workshop(tmp_path, clock, settings)


async def tend(workshop: Workshop) -> Look:
    """As a fresh process does."""
    return await workshop.keeper().tend()


def killed(workshop: Workshop, touch: int) -> bool:
    """Tend in a process of its own that is killed before its ``touch``-th touch; whether it got that far."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with touching(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == touch else None):
                asyncio.run(tend(workshop))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def consumer_sees(workshop: Workshop) -> bytes | None:
    """What a service reads at any moment: nothing yet, or a certificate with its own key."""
    chain, key = workshop.home / "etc" / "web.pem", workshop.home / "etc" / "web.key"
    if not chain.exists() or not key.exists():
        return None
    assert fits(chain.read_bytes(), key.read_bytes())
    return chain.read_bytes()


@pytest.mark.parametrize("first", [True, False], ids=["the first certificate", "a renewal"])
def test_a_kill_at_any_step_is_taken_up_with_the_same_order(workshop: Workshop, first: bool) -> None:
    made = 0
    if not first:
        asyncio.run(tend(workshop))
        made = 1
    touch, kills = 0, 0
    while True:
        touch += 1
        if made:
            workshop.clock.advance(timedelta(days=60))
        before = consumer_sees(workshop)
        if not killed(workshop, touch):
            break
        kills += 1
        assert consumer_sees(workshop) is not None or not made
        look = asyncio.run(tend(workshop))
        assert look.attempt is None, look.record.trouble
        assert look.record.trouble is None
        made += 1
        assert workshop.source.orders == made, f"killed before touch {touch}"
        after = consumer_sees(workshop)
        assert after is not None
        assert after != before
        assert (workshop.home / "etc" / "copy.pem").read_bytes().startswith(after)
        if first:
            clear(workshop)
            made = 0
    assert kills > 30


@pytest.mark.parametrize("first", [True, False], ids=["the first certificate", "a renewal"])
async def test_a_disk_that_is_full_from_any_step_on_leaves_nothing_half_written(
    workshop: Workshop, first: bool
) -> None:
    made = 0
    if not first:
        await tend(workshop)
        made = 1
    touch, failed = 0, True
    while failed:
        touch += 1
        if made:
            workshop.clock.advance(timedelta(days=60))
        before = consumer_sees(workshop)

        def full(count: int, at: int = touch) -> None:
            if count >= at:
                raise OSError(errno.ENOSPC, "No space left on device")

        failed = False
        with touching(full) as count:
            try:
                await tend(workshop)
            except AgentError as error:
                failed = error.reason is DISK
            failed = failed or count[0] >= touch
        seen = consumer_sees(workshop)
        if failed and seen is not None and before is not None and seen != before:
            assert (workshop.home / "etc" / "copy.pem").exists()
        workshop.clock.advance(timedelta(days=1))
        look = await tend(workshop)
        assert look.attempt is None, look.record.trouble
        made += 1
        assert workshop.source.orders == made, f"full from touch {touch} on"
        if first:
            clear(workshop)
            made = 0
    assert touch > 30


@pytest.mark.parametrize("octets", [0, 1, 300, 700])
def test_a_file_that_the_kernel_lets_grow_no_further_is_not_left_half_written(workshop: Workshop, octets: int) -> None:
    asyncio.run(tend(workshop))
    workshop.clock.advance(timedelta(days=60))
    before = consumer_sees(workshop)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # The captured output of this test is a file that may not grow either.
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

            async def obtain(_request: object, key: HeldKey, *_: object) -> list[bytes]:
                return [root().issue(key.public_key, ["www.example.org"], workshop.clock.now())]

            workshop.source.obtain = obtain  # type: ignore[assignment, method-assign]
            # Python ignores SIGXFSZ, so that a write stops short in the middle and the next one fails.
            resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))
            asyncio.run(tend(workshop))
            code = 0
        except AgentError as error:
            code = 0 if error.reason is DISK else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert consumer_sees(workshop) == before
    assert list((workshop.home / "etc").glob(".*")) == []
    workshop.clock.advance(timedelta(days=1))
    look = asyncio.run(tend(workshop))

    assert look.attempt is None
    assert consumer_sees(workshop) != before
    assert workshop.source.orders == 2


def clear(workshop: Workshop) -> None:
    """As on a host that has no certificate yet."""
    for one in sorted((workshop.home / "state" / "certificates").rglob("*"), reverse=True):
        one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()
    for directory in ("etc", "source", "state/keys"):
        for one in (workshop.home / directory).glob("*"):
            one.unlink()


def test_a_kill_in_the_reload_hook_has_it_run_again(workshop: Workshop, tmp_path: Path) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\necho run >> {tmp_path}/told\n[ -e {tmp_path}/once ] || "
                    f"{{ touch {tmp_path}/once; kill -KILL $PPID; }}\n")  # fmt: skip
    hook.chmod(0o755)
    workshop.settings = CertificateSettings(
        names=("www.example.org",), output=workshop.settings.output, reload=CommandSettings(command=(str(hook),))
    )
    assert killed(workshop, 10_000)
    look = asyncio.run(tend(workshop))

    assert look.attempt is None
    assert (tmp_path / "told").read_text() == "run\nrun\n"
    assert workshop.source.orders == 1
