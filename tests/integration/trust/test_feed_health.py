"""Silence on a real database: said once, changing nothing, remembered to the second."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.signals import Trust
from troth.store.unit import Unit
from troth.trust.feeds import health_store
from troth.trust.feeds.health import FeedHealthBook, FeedWatch, Health
from troth.trust.feeds.health_store import Silence, add_heard
from troth.trust.standing import Standing


@pytest.fixture
def watch(trust: Trust) -> FeedWatch:
    return FeedWatch(trust.database, trust.clock)


@pytest.fixture
def book(trust: Trust) -> FeedHealthBook:
    return FeedHealthBook(trust.database, trust.clock)


async def heard(trust: Trust) -> None:
    await trust.database.commit(add_heard(Unit(), "edr", trust.clock.now()))


async def said(trust: Trust) -> list[str]:
    return [kind for kind, _ in await trust.events() if kind in {"feed.late", "feed.stale", "feed.dead", "feed.heard"}]


async def test_each_change_of_health_is_an_event_once_and_no_standing_moves(trust: Trust, watch: FeedWatch) -> None:
    await trust.feed(cadence_seconds=60)
    laptop = await trust.subject()
    await trust.take("edr.contained", laptop)
    await heard(trust)
    before = await trust.kinds()
    for seconds in (59, 1, 59, 1, 479, 1):
        trust.clock.advance(timedelta(seconds=seconds))
        await watch.run_once()
        await watch.run_once()
    assert await said(trust) == ["feed.late", "feed.stale", "feed.dead"]
    await heard(trust)
    await watch.run_once()
    assert (await said(trust))[-1] == "feed.heard"
    assert await trust.kinds() == before
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_a_silent_feed_is_flagged_within_twice_its_cadence_and_told_to_the_judge(
    trust: Trust, book: FeedHealthBook
) -> None:
    await trust.feed(cadence_seconds=60)
    await heard(trust)
    start = trust.clock.now()
    assert await book.down() == ()
    trust.clock.advance(timedelta(seconds=120))
    (down,) = await book.down()
    assert (down.name, down.state, down.since) == ("edr", "stale", start + timedelta(seconds=120))
    await heard(trust)
    trust.clock.advance(timedelta(seconds=2))
    assert await book.down() == ()


async def test_a_feed_that_never_spoke_is_missed_from_when_it_was_made(trust: Trust, book: FeedHealthBook) -> None:
    await trust.feed(cadence_seconds=60)
    trust.clock.advance(timedelta(seconds=61))
    (one,) = await book.all()
    assert (one.health, one.heard.spoke) == (Health.LATE, False)


async def test_the_word_that_ends_a_silence_writes_down_how_long_it_was_though_nobody_watched(
    trust: Trust, book: FeedHealthBook
) -> None:
    await trust.feed(cadence_seconds=60)
    await heard(trust)
    start = trust.clock.now()
    trust.clock.advance(timedelta(hours=3))
    (present,) = (await book.silences(["edr"], start))["edr"]
    assert present == Silence("edr", start + timedelta(seconds=120), None)
    await heard(trust)
    await heard(trust)
    trust.clock.advance(timedelta(seconds=30))
    (over,) = (await book.silences(["edr"], start))["edr"]
    assert over == Silence("edr", start + timedelta(seconds=120), start + timedelta(hours=3))
    assert await book.silences(["edr"], trust.clock.now()) == {}


async def test_the_webhook_is_a_sign_of_life_only_of_the_feed_that_signed(trust: Trust) -> None:
    await trust.feed(cadence_seconds=60)
    await trust.feed("other", cadence_seconds=60)
    laptop = await trust.subject()
    trust.clock.advance(timedelta(seconds=50))
    signal = trust.signal("edr.suspicious", laptop)
    await trust.desk.take(signal, joined=add_heard(Unit(), "edr", trust.clock.now()))
    spoke = {one.feed: one.spoke for one in await health_store.heard(trust.database)}
    assert spoke == {"edr": True, "other": False}
