"""Accepts as the sessions hear of them: by what the admission journal brings, without a journal."""

from __future__ import annotations

from collections.abc import Sequence

from troth.kit.clock import Clock
from troth.radius.sessions import inbox
from troth.radius.sessions.inbox import INBOX_CHANNEL
from troth.radius.sessions.model import Admitted
from troth.store.pool import Database
from troth.store.unit import Unit

_AT_ONCE = 500


async def heard(database: Database, clock: Clock, admissions: Sequence[Admitted]) -> None:
    """Have them written down, durably."""
    take = inbox.taker(clock)
    for start in range(0, len(admissions), _AT_ONCE):
        unit = Unit()
        await take(unit, [inbox.note(one)[1] for one in admissions[start : start + _AT_ONCE]])
        await database.commit(unit)
    database.wake(INBOX_CHANNEL)
