"""What an idle Troth does by the clock, added up: it wakes rarely, and asks its database little."""

from __future__ import annotations

import importlib
import pkgutil

import troth
from troth.kit.rhythm import Rhythm, rhythms

#: Processes of each role in a Troth with RADIUS on two workers.
PROCESSES = {"supervisor": 1, "signer": 1, "web": 1, "status": 1, "worker": 1, "radius": 2}


def _all() -> list[Rhythm]:
    for module in pkgutil.walk_packages(troth.__path__, "troth."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [one for one in rhythms() if one.name != "quiet"]


def test_an_idle_troth_asks_its_database_less_than_five_times_a_second() -> None:
    rates = {one.name: one.statements / one.seconds * sum(PROCESSES[role] for role in one.where) for one in _all()}
    # The pulse is asked by one for the whole machine.
    assert sum(rates.values()) < 5.0, sorted(rates.items(), key=lambda item: -item[1])


def test_no_loop_wakes_an_idle_process_more_often_than_it_must() -> None:
    often = {one.name for one in _all() if one.seconds < 10}
    # The lease of one second on the trust stream, leases of three, and who lives.
    assert often == {"pulse.ask", "pulse.look", "pulse.point", "lease.keep", "feeds.watch"}
