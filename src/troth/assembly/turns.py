"""How the kernel gives a process its turns."""

from __future__ import annotations

import os

from troth.assembly.context import Role
from troth.kit.log import get_logger

log = get_logger("assembly")

#: What these serve comes in many small requests, and costs less when several are worked on in one turn.
_GATHERING: frozenset[Role] = frozenset({"web", "radius"})


def gather(role: Role) -> bool:
    """Have what wakes this thread, and those it begins, not interrupt whoever runs on its processor (``SCHED_BATCH``,
    sched(7)); whether that is so now.

    On a processor that is free nothing changes. On one that is not, a process that is woken for each packet of many
    takes the processor away in the middle of other work, and both find their memory gone from its caches; what comes
    while it waits for its turn, a few milliseconds at most, is read in one go. Its share of the processor stays the
    same. A policy that somebody has chosen (systemd's ``CPUSchedulingPolicy=``, chrt) is left as it is.
    """
    if role not in _GATHERING or not hasattr(os, "sched_setscheduler"):
        return False
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return os.sched_getscheduler(0) == os.SCHED_BATCH
    except OSError as error:  # a sandbox may forbid it, and nothing depends on it
        log.info("role.turns_not_gathered", error=str(error))
        return False
