"""The admission breaker has opened: whom it calls, with which words, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.support.effects import RecordingPort
from troth.connect.effects.webhook import body_of
from troth.connect.effects.words import lines, title
from troth.kit.clock import FakeClock
from troth.kit.sealing import SecretBox
from troth.radius.admission.breaker import Opened
from troth.radius.admission.calling import call
from troth.radius.admission.model import BreakerRule, Network
from troth.store.pool import Database
from troth.trust.outbox import alarms, store
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.model import EffectState, EffectSubject, Outcome
from troth.trust.outbox.runner import EffectRunner
from troth.web.books.effects import view

_OPENED = Opened("corp", "policy.condition_false", 40, 50, 0.0)
_CORP = Network("corp", breaker=BreakerRule(notify=("noc", "siem")))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


async def _opens(database: Database, clock: FakeClock, opened: Opened = _OPENED, network: Network = _CORP) -> None:
    await database.commit(call(opened, network, seconds=14_400, at=clock.now()))


async def test_people_are_called_once_an_hour_however_many_workers_see_it(database: Database, clock: FakeClock) -> None:
    for _ in range(3):
        await _opens(database, clock)
    assert {one.target for one in await store.listed(database)} == {"noc", "siem"}
    assert len(await store.listed(database)) == 2
    told = [row["payload"] for row in await database.fetch("SELECT payload FROM ledger_inbox")]
    assert sum(b"network.breaker_opened" in one for one in told) == 3
    await _opens(database, clock, Opened("corp", "x.other", 40, 50, 0.0))
    assert len(await store.listed(database)) == 4, "another reason is another call"
    clock.advance(timedelta(hours=1))
    await _opens(database, clock)
    assert len(await store.listed(database)) == 6
    await _opens(database, clock, network=Network("corp"))
    assert len(await store.listed(database)) == 6, "a network that names nobody calls nobody"


async def test_a_call_goes_out_though_it_is_about_no_subject_and_can_be_tried_again(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    await _opens(database, clock, network=Network("corp", breaker=BreakerRule(notify=("noc",))))
    await database.fetch("UPDATE enforcement_switch SET frozen = true")
    port = RecordingPort(answers=[Outcome.refused("the room is gone")])
    runner = EffectRunner(database, clock, {"notify": port})
    await runner.drain()
    [dead] = await store.listed(database)
    assert (dead.state, port.asked[0].subject) == (EffectState.DEAD, "corp"), "a freeze does not silence it"
    (tmp_path / "secrets").mkdir()
    desk = EffectDesk(database, clock, SecretBox.at(tmp_path / "secrets" / "effects.secret", purpose="effect"))
    await desk.retry(dead.id, actor="admin:alice", reason="it is back")
    await runner.drain()
    [done] = await store.listed(database)
    assert done.state is EffectState.DONE
    told = [row["payload"] for row in await database.fetch("SELECT payload FROM ledger_inbox")]
    assert any(b"effect.done" in one and b"network:corp" in one for one in told)


async def test_what_people_read_says_what_to_do(database: Database, clock: FakeClock) -> None:
    await _opens(database, clock)
    effect = (await store.listed(database))[0]
    assert title(effect) == "network corp: 40 of 50 devices would newly be refused"
    text = "\n".join(lines(effect, EffectSubject(effect.subject_id, "network", "corp", False)))
    assert "policy.condition_false" in text
    assert "troth network breaker corp --off" in text
    sent = msgspec.json.decode(body_of(effect))
    assert (sent["type"], sent["data"]["network"], sent["data"]["refused"]) == ("network.breaker_opened", "corp", "40")
    shown = view(effect)
    assert (shown.page, shown.says, shown.before) == ("/network/networks/corp", title(effect), "")
    assert await alarms.nobody(database, ["noc"]) == ["noc"], "no reactions name it"
