"""Marks of duties."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from troth.kit.clock import FakeClock
from troth.store.marks import MARK, UNMARK, read_marks
from troth.store.pool import Database
from troth.store.unit import Unit


async def test_the_latest_mark_counts_and_one_that_is_taken_away_is_missed_no_more(
    database: Database, clock: FakeClock
) -> None:
    now, before = clock.now(), clock.now() - timedelta(hours=1)
    marks = (("backup", before), ("backup", now), ("shipping", now))
    await asyncio.gather(*(database.commit(Unit().write(MARK, name, at)) for name, at in marks))
    await database.commit(Unit().write(MARK, "backup", before))
    assert await read_marks(database) == {"backup": now, "shipping": now}
    await database.commit(Unit().write(UNMARK, "shipping"))
    assert await read_marks(database) == {"backup": now}
