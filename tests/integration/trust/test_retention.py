"""What is kept of signals and standings beside the ledger, and for how long."""

from __future__ import annotations

from datetime import timedelta

from tests.support.signals import Trust
from troth.trust.intake import unresolved_store
from troth.trust.intake.retention import Retention
from troth.trust.standings import ground_store

DAY = timedelta(days=1)


async def _records(trust: Trust) -> list[str]:
    return [str(one.subject_id) for one in await ground_store.assessments(trust.database)]


async def test_old_assessments_go_and_each_subjects_last_stays(trust: Trust) -> None:
    await trust.feed()
    laptop, phone = await trust.subject("laptop"), await trust.subject("phone")
    await trust.take("edr.alert", laptop, severity=50, cause="one")
    await trust.take("edr.alert", laptop, severity=90, cause="two")
    await trust.take("edr.alert", phone, severity=90, cause="one")
    assert len(await _records(trust)) == 3
    retention = Retention(trust.database, trust.clock, 30 * DAY)
    trust.clock.advance(29 * DAY)
    assert await retention.run_once() == 0
    trust.clock.advance(2 * DAY)
    assert await retention.run_once() == 1
    assert sorted(await _records(trust)) == sorted([str(laptop), str(phone)])
    assert await Retention(trust.database, trust.clock, None).run_once() == 0


async def test_settled_strangers_go_and_open_ones_stay(trust: Trust) -> None:
    await trust.feed()
    for name in ("nobody", "stranger"):
        await trust.take("edr.alert", name)
    second, first = await unresolved_store.unresolved(trust.database)
    from troth.trust.intake.unresolved import UnresolvedDesk

    await UnresolvedDesk(trust.database, trust.clock).set_aside(first.signal_id, actor="admin:alice", note="a test")
    trust.clock.advance(40 * DAY)
    assert await Retention(trust.database, trust.clock, 30 * DAY).run_once() == 1
    assert [one.signal_id for one in await unresolved_store.unresolved(trust.database)] == [second.signal_id]
