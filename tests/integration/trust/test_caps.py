"""Caps beyond a feed's own, the breaker, the hard cap, and rollout step by step."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.signals import Trust
from troth.store.pool import Database
from troth.trust.enforcement import action_store, cap_store, shadow_store
from troth.trust.enforcement.action_store import Why
from troth.trust.intake.desk import SignalDesk
from troth.trust.intake.taking import Receipt
from troth.trust.signals import signal_store
from troth.trust.standing import Standing
from troth.trust.standings.service import RulesService

WHOLE = {"percent": 100, "subjects": 1_000_000}


async def rules(trust: Trust, text: str) -> None:
    service = RulesService(trust.database, trust.clock)
    await service.apply(await service.plan(text), actor="admin:alice")


async def send(trust: Trust, kind: str, subjects: list[UUID], *, feed: str = "edr") -> list[Receipt]:
    return [await trust.desk.take(trust.signal(kind, one, feed=feed)) for one in subjects]


async def grouped(trust: Trust, number: int, group: str, *, site: str | None = None) -> list[UUID]:
    ids = await trust.subjects(number, prefix=group)
    await trust.database.fetchval(
        "UPDATE subject SET groups = $2, attributes = $3 WHERE id = ANY($1::uuid[])", ids, json.dumps([group]),
        json.dumps({"site": site} if site else {}),
    )  # fmt: skip
    return ids


async def test_a_kind_has_a_cap_over_all_feeds(trust: Trust) -> None:
    await rules(trust, "standing:\n  caps: {kind: {percent: 0, subjects: 3}}\n")
    await trust.feed("one", cap={"percent": 0, "subjects": 2})
    await trust.feed("two", cap={"percent": 0, "subjects": 2})
    laptops = await trust.subjects(4)
    assert not any(one.staged for one in await send(trust, "edr.intrusion", laptops[:2], feed="one"))
    third, fourth = await send(trust, "edr.intrusion", laptops[2:], feed="two")
    assert (third.staged, fourth.staged) == (False, True)
    (action,) = await action_store.actions(trust.database)
    assert (action.why, action.detail) == (Why.CAP, "the cap of kind edr.intrusion")
    # Another kind has room yet.
    assert not (await trust.take("edr.contained", laptops[3], feed="two", cause="other")).staged


@pytest.mark.parametrize("place", ["group", "site"])
async def test_a_group_and_a_site_have_caps_of_their_own(trust: Trust, place: str) -> None:
    await rules(trust, "standing:\n  caps: {group: {percent: 10, subjects: 1}}\n")
    await trust.feed(cap=WHOLE)
    here = await grouped(trust, 30, "here", site="berlin" if place == "site" else None)
    if place == "site":
        await trust.database.fetchval("UPDATE subject SET groups = '[]'")
    elsewhere = await trust.subjects(30, prefix="elsewhere")
    receipts = await send(trust, "edr.intrusion", here[:5])
    assert [one.staged for one in receipts] == [False] * 3 + [True] * 2
    assert not any(one.staged for one in await send(trust, "edr.intrusion", elsewhere[:10]))
    staged = await action_store.actions(trust.database)
    assert {one.detail for one in staged} == {"the cap of site berlin" if place == "site" else "the cap of group here"}


async def test_there_is_a_cap_for_everyone_together(trust: Trust) -> None:
    await rules(trust, "standing:\n  caps: {everyone: {percent: 0, subjects: 3}}\n")
    for name in ("a", "b", "c", "d"):
        await trust.feed(name, cap={"percent": 0, "subjects": 1})
    laptops = await trust.subjects(4)
    kinds = ["edr.intrusion", "mdm.lost", "idp.user_disabled", "network.anomaly"]
    staged = [
        (await send(trust, kind, [laptop], feed=feed))[0].staged
        for feed, kind, laptop in zip("abcd", kinds, laptops, strict=True)
    ]
    assert staged == [False, False, False, True]


async def test_a_word_that_changes_little_spends_nothing(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1})
    laptops = await trust.subjects(5)
    receipts = await send(trust, "edr.alert", laptops)
    assert sum(one.staged for one in receipts) == 4
    quiet = await trust.subjects(5, prefix="quiet")
    for one in quiet:
        receipt = await trust.take("edr.alert", one, severity=20)
        assert (receipt.standing, receipt.staged) == (Standing.TRUSTED, False)
    # Together with another class the same word would restrict: then it meets the cap.
    await trust.feed("idp")
    await trust.take("idp.risk_event", quiet[0], feed="idp", severity=20)
    assert (await trust.take("edr.alert", quiet[0], severity=30, cause="next")).staged


async def test_a_faulty_feed_that_flips_everyone_is_suspended_and_restricts_two_percent_at_most(trust: Trust) -> None:
    await trust.feed()
    laptops = await trust.subjects(1_000)
    receipts = await send(trust, "edr.intrusion", laptops[:150])
    feed = await trust.feeds.feed("edr")
    assert (feed.suspended, feed.suspended_by) == (True, "system:breaker")
    assert "101 subjects" in feed.suspended_why
    tripped = next(place for place, one in enumerate(receipts) if "feed.suspended" in one.effects)
    assert tripped == 100
    standings = Counter([await trust.standing(one) for one in laptops[:150]])
    assert standings == {Standing.QUARANTINED: 20, Standing.TRUSTED: 130}
    whys = Counter(one.why for one in await action_store.actions(trust.database, limit=1_000))
    assert whys == {Why.CAP: 80, Why.FEED_SUSPENDED: 50}
    assert [data["reason"] for kind, data in await trust.events() if kind == "feed.suspended"] == [feed.suspended_why]
    # Applying its definition again lifts nothing; a person does.
    await trust.feed()
    assert (await trust.feeds.feed("edr")).suspended
    await trust.feeds.resume("edr", actor="admin:alice", reason="mended")
    assert not (await trust.feeds.feed("edr")).suspended


async def test_a_third_of_a_scope_for_one_reason_suspends_the_feed(trust: Trust) -> None:
    await rules(trust, "standing:\n  caps: {hard: {percent: 100}}\n")
    await trust.feed(scope={"subjects": ["device"], "groups": ["lab"]})
    lab = await grouped(trust, 60, "lab")
    receipts = await send(trust, "edr.suspicious", lab[:20])
    assert [place for place, one in enumerate(receipts) if "feed.suspended" in one.effects] == [17]
    assert "18 of 60 subjects" in (await trust.feeds.feed("edr")).suspended_why


async def test_different_reasons_do_not_trip_the_breaker(trust: Trust) -> None:
    await rules(trust, "standing:\n  caps: {hard: {percent: 100}}\n")
    await trust.feed()
    laptops = await trust.subjects(60)
    await send(trust, "edr.suspicious", laptops[:17])
    await send(trust, "mdm.noncompliant", laptops[17:34])
    assert not (await trust.feeds.feed("edr")).suspended


async def test_one_subject_that_is_asked_for_again_and_again_counts_once(trust: Trust) -> None:
    await rules(trust, "standing:\n  caps: {hard: {percent: 0, subjects: 3}}\n")
    await trust.feed(cap={"percent": 0, "subjects": 1})
    one, two = await trust.subjects(2)
    await trust.take("edr.intrusion", one)
    for alert in range(8):
        assert (await trust.take("edr.intrusion", two, cause=f"alert-{alert}")).staged
    assert not (await trust.feeds.feed("edr")).suspended


async def test_above_the_cap_a_feed_may_restrict_and_stage_the_rest(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1, "above": "restrict"})
    one, two = await trust.subjects(2)
    certificate = await trust.certificate(two)
    await trust.take("edr.intrusion", one)
    receipt = await trust.take("edr.intrusion", two)
    assert (receipt.standing, receipt.staged) == (Standing.RESTRICTED, True)
    assert await trust.status(certificate) == "good"
    (action,) = await action_store.actions(trust.database)
    done = await trust.orders.approve(action.id, person="bob")
    assert (done.standing, await trust.status(certificate)) == (Standing.QUARANTINED, "held")


async def test_two_processes_share_the_caps(trust: Trust, database_url: str) -> None:
    await rules(trust, "standing:\n  caps: {everyone: {percent: 0, subjects: 6}}\n")
    names = [f"feed-{number}" for number in range(6)]
    for name in names:
        await trust.feed(name, cap={"percent": 0, "subjects": 3})
    laptops = await trust.subjects(24)
    elsewhere = await Database.open(database_url, clock=trust.clock)
    desks = [trust.desk, SignalDesk(elsewhere, trust.clock, trust.enforcer)]
    receipts = await asyncio.gather(
        *(
            desks[place % 2].take(trust.signal("edr.intrusion", laptop, feed=names[place % 6]))
            for place, laptop in enumerate(laptops)
        )
    )
    await elsewhere.close()
    assert sum(not one.staged for one in receipts) == 6


async def test_what_no_window_reaches_back_to_is_forgotten(trust: Trust) -> None:
    await trust.feed()
    (laptop,) = await trust.subjects(1)
    await trust.take("edr.intrusion", laptop)
    await cap_store.forget(trust.database, trust.clock.now() - timedelta(days=1))
    assert await trust.database.fetchval("SELECT count(*) FROM cap_slot") > 0
    await cap_store.forget(trust.database, trust.clock.now() + timedelta(days=1))
    assert await trust.database.fetchval("SELECT count(*) FROM cap_slot") == 0
    assert await trust.database.fetchval("SELECT count(*) FROM cap_mark") == 0


# --- rollout ---------------------------------------------------------------------------------------------------------


async def test_a_feed_in_shadow_does_nothing_and_says_what_it_would_have_done(trust: Trust) -> None:
    await trust.feed(rollout="shadow")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    receipt = await trust.take("edr.intrusion", laptop)
    assert (receipt.standing, receipt.staged) == (Standing.TRUSTED, False)
    assert receipt.effects == ("signal.watched", "cause.raised")
    assert await trust.status(certificate) == "good"
    (line,) = await shadow_store.summary(trust.database, "edr", trust.ago(60))
    assert (line.kind, line.standing, line.subjects) == ("edr.intrusion", Standing.QUARANTINED, 1)
    (effect,) = await shadow_store.latest(trust.database, "edr", trust.ago(60))
    assert (effect.subject, effect.before, effect.after) == (
        "device laptop-1", Standing.TRUSTED, Standing.QUARANTINED,
    )  # fmt: skip
    assert await shadow_store.busiest(trust.database, "edr", trust.ago(60), 3_600) == 1
    # Said again once it is in force, it acts; and its clear clears.
    await trust.feeds.set_rollout("edr", {"*": 100}, actor="admin:alice", reason="looked good")
    assert (await trust.take("edr.intrusion", laptop)).standing is Standing.QUARANTINED
    assert (await trust.take("edr.cleared", laptop)).standing is Standing.TRUSTED


async def test_a_clear_ends_what_was_only_watched(trust: Trust) -> None:
    await trust.feed(rollout="shadow")
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.cleared", laptop)
    assert await signal_store.causes_of(trust.database, laptop) == []


async def test_one_kind_can_be_watched_while_the_others_act(trust: Trust) -> None:
    await trust.feed(rollout={"*": 100, "edr.alert": "shadow"})
    one, two = await trust.subjects(2)
    assert (await trust.take("edr.alert", one, severity=90)).standing is Standing.TRUSTED
    assert (await trust.take("edr.intrusion", two)).standing is Standing.QUARANTINED


async def test_rollout_grows_step_by_step_and_never_drops_who_was_in(trust: Trust) -> None:
    await trust.feed(cap=WHOLE, rollout=5)
    laptops = await trust.subjects(100)
    feed = await trust.feeds.feed("edr")
    at_5 = {one for one in laptops if feed.enforces("edr.intrusion", one)}
    wider = await trust.feeds.set_rollout("edr", {"*": 25}, actor="admin:alice", reason="so far so good")
    at_25 = {one for one in laptops if wider.enforces("edr.intrusion", one)}
    assert at_5 <= at_25
    assert len(at_5) < 20 < len(at_25) + 10 < 60
    receipts = await send(trust, "edr.intrusion", laptops)
    assert {one.subject_id for one in receipts if one.standing is Standing.QUARANTINED} == at_25


async def test_a_definition_without_rollout_leaves_it_and_a_new_feed_begins_as_the_settings_say(trust: Trust) -> None:
    from troth.kit.sealing import SecretBox
    from troth.trust.feeds.desk import FeedDesk

    await trust.feed()
    await trust.feeds.set_rollout("edr", {"edr.alert": 5}, actor="admin:alice", reason="new kind")
    await trust.feed(may_clear=False)
    assert (await trust.feeds.feed("edr")).rollout == {"*": 100, "edr.alert": 5}
    box = SecretBox(b"k" * 32, purpose="feed")
    trust.feeds = FeedDesk(trust.database, trust.clock, box, new_rollout="shadow")
    await trust.feed("new")
    assert (await trust.feeds.feed("new")).rollout == {"*": 0}
