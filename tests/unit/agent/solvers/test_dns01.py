"""dns-01 by a program of the operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from troth.agent.errors import AgentError
from troth.agent.settings import DnsHook
from troth.agent.solvers.build import Solvers
from troth.agent.solvers.model import Proof
from troth.kit.clock import FakeClock

PROOF = Proof("dns", "*.www.example.org", "token", "token.thumb", "the-value")


def hook(tmp_path: Path, body: str) -> DnsHook:
    place = tmp_path / "hook.sh"
    place.write_text(
        f'#!/bin/sh\necho "$TROTH_ACTION $TROTH_DOMAIN $TROTH_RECORD $TROTH_VALUE" >> {tmp_path}/told\n{body}'
    )
    place.chmod(0o755)
    return DnsHook(command=(str(place),))


async def test_the_record_is_set_and_cleared_for_the_name_below_the_wildcard(tmp_path: Path, clock: FakeClock) -> None:
    async with Solvers(clock).make(hook(tmp_path, "")).shown(PROOF) as answer:
        assert answer == {}
    told = "www.example.org _acme-challenge.www.example.org the-value"
    assert (tmp_path / "told").read_text().splitlines() == [f"present {told}", f"clear {told}"]


async def test_a_record_that_cannot_be_set_is_a_failure_and_one_that_stays_is_not(
    tmp_path: Path, clock: FakeClock
) -> None:
    with pytest.raises(AgentError, match="no such zone"):
        async with Solvers(clock).make(hook(tmp_path, "echo no such zone; exit 1")).shown(PROOF):
            raise AssertionError("not reached")
    async with Solvers(clock).make(hook(tmp_path, '[ "$TROTH_ACTION" = present ]')).shown(PROOF):
        pass
