"""What an operator would be woken for, as the status role sees it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.mint import Mint
from troth.pki.finding_store import CLEAR, NOTE
from troth.status.operations import Operations, OperationsWatch
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.marks import MARK
from troth.store.unit import Unit


async def test_open_findings_are_counted_by_severity_and_code_and_marks_are_read(mint: Mint) -> None:
    now, watch = mint.clock.now(), OperationsWatch(mint.database)
    assert watch.last is None
    unit = Unit().write(MARK, "backup", now)
    for name, severity in (("a", "ERROR"), ("b", "ERROR"), ("c", "WARNING")):
        unit.write(NOTE, f"certificate:{name}", "lint.x", "lint", severity, "", now)
    await mint.database.commit(unit)
    await watch.look()
    assert watch.last == Operations({("ERROR", "lint.x"): 2, ("WARNING", "lint.x"): 1}, {"backup": now})
    mint.clock.advance(timedelta(seconds=1))
    await mint.database.commit(Unit().write(CLEAR, "certificate:a", "lint", mint.clock.now()))
    await watch.look()
    assert watch.last.findings == {("ERROR", "lint.x"): 1, ("WARNING", "lint.x"): 1}


async def test_a_database_that_is_away_is_no_news_of_no_findings(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = OperationsWatch(mint.database)
    await watch.look()
    assert watch.last == Operations()

    async def away(*_: object) -> None:
        raise Unavailable(UNAVAILABLE)

    monkeypatch.setattr(mint.database, "fetch", away)
    await watch.look()
    assert watch.last is None
