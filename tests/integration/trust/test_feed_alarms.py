"""People are called when a feed is suspended or meets a cap, once, and once when it is over, whoever did it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.support.signals import Trust
from troth.connect.effects.webhook import body_of
from troth.connect.effects.words import lines, title
from troth.trust.enforcement import action_store
from troth.trust.enforcement.alarming import FeedAlarms
from troth.trust.errors import RulesError
from troth.trust.outbox import store
from troth.trust.outbox.model import Effect, EffectSubject
from troth.trust.standings.grammar import parse_rules
from troth.trust.standings.service import RulesService

_RULES = "standing:\n  caps: {notify: [security, room]}\n"


@pytest.fixture
async def alarms(trust: Trust) -> FeedAlarms:
    service = RulesService(trust.database, trust.clock)
    await service.apply(await service.plan(_RULES), actor="admin:alice")
    return FeedAlarms(trust.database, trust.clock)


async def _told(trust: Trust) -> list[Effect]:
    return [one for one in reversed(await store.listed(trust.database)) if one.target == "security"]


def _words(effect: Effect) -> list[str]:
    return lines(effect, EffectSubject(effect.subject_id, "feed", "edr", False))


async def test_a_cap_is_told_once_with_its_end(trust: Trust, alarms: FeedAlarms) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1})
    laptops = await trust.subjects(4)
    for laptop in laptops[:3]:
        await trust.take("edr.intrusion", laptop)
    assert (await alarms.run_once(), await alarms.run_once()) == (1, 0)
    await trust.take("edr.intrusion", laptops[3])
    assert await alarms.run_once() == 0
    (told,) = await _told(trust)
    assert title(told) == "feed edr has reached the cap of feed edr"
    assert _words(told)[1].startswith("2 so far wait for a person")
    assert _words(told)[-1].endswith("It is told once.")
    assert json.loads(body_of(told))["type"] == "feed.capped"
    assert {one.target for one in await store.listed(trust.database)} >= {"security", "room"}
    for action in await action_store.actions(trust.database):
        await trust.orders.reject(action.id, person="alice", note="a broken sensor")
    assert (await alarms.run_once(), await alarms.run_once()) == (1, 0)
    assert [json.loads(body_of(one))["type"] for one in await _told(trust)] == ["feed.capped", "feed.uncapped"]


async def test_a_suspension_is_told_whoever_did_it_and_so_is_its_end(trust: Trust, alarms: FeedAlarms) -> None:
    await trust.feed("edr")
    for round in (1, 2):
        await trust.feeds.suspend("edr", actor="admin:alice", reason="it cries wolf")
        assert await alarms.run_once() == 1
        await trust.feeds.resume("edr", actor="admin:bob", reason="mended")
        assert await alarms.run_once() == 1
        assert len(await _told(trust)) == 2 * round
        trust.clock.advance(timedelta(seconds=60))
    first, second = (await _told(trust))[:2]
    assert (title(first), title(second)) == ("feed edr is suspended", "feed edr acts again")
    assert _words(first)[0] == "The feed edr is suspended by admin:alice: it cries wolf."
    assert json.loads(body_of(first))["data"]["about"] == {"kind": "feed", "name": "edr"}


async def test_without_anybody_named_nobody_is_called_and_the_ledger_tells(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1})
    for laptop in await trust.subjects(2):
        await trust.take("edr.intrusion", laptop)
    assert await FeedAlarms(trust.database, trust.clock).run_once() == 1
    assert await _told(trust) == []
    assert (await trust.events())[-1] == ("feed.capped", {"feed": "edr", "cap": "the cap of feed edr"})


@pytest.mark.parametrize("names", ["[Not A Name]", "security", "[a, b, c, d, e, f, g, h, i, j, k]"])
def test_names_that_no_target_can_have_are_refused(names: str) -> None:
    with pytest.raises(RulesError, match="notify"):
        parse_rules(f"standing:\n  caps: {{notify: {names}}}\n")
