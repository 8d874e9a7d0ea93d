"""A policy is a thread's own, so each test tries in one of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from troth.assembly.turns import gather


def apart(what: Callable[[], tuple[bool, int]]) -> tuple[bool, int]:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(what).result()


@pytest.mark.parametrize("role", ["web", "radius"])
def test_roles_of_many_requests_interrupt_nobody_when_they_are_woken(role: str) -> None:
    assert apart(lambda: (gather(role), os.sched_getscheduler(0))) == (True, os.SCHED_BATCH)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["signer", "status", "worker", "vantage"])
def test_others_are_woken_as_the_kernel_does_by_itself(role: str) -> None:
    assert apart(lambda: (gather(role), os.sched_getscheduler(0))) == (False, os.SCHED_OTHER)  # type: ignore[arg-type]


def test_a_policy_that_somebody_has_chosen_stays() -> None:
    def chosen() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return gather("web"), os.sched_getscheduler(0)

    assert apart(chosen) == (False, os.SCHED_IDLE)


def test_where_it_is_forbidden_the_role_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_words: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    assert apart(lambda: (gather("web"), os.sched_getscheduler(0))) == (False, os.SCHED_OTHER)
