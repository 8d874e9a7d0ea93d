"""Feeds in the database: applied as a whole, secrets shown once and changed over without a gap."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.support.signals import Trust
from troth.trust.applied import Applied
from troth.trust.feeds.model import FeedDefinition, parse_feeds, shown
from troth.trust.signals.errors import FeedUnknown


def definitions(*names: str, **fields: object) -> list[FeedDefinition]:
    return list(parse_feeds({"feeds": [{"name": name, "kinds": ["edr.*"]} | fields for name in names]}))


async def test_applying_creates_changes_and_leaves_alone(trust: Trust) -> None:
    first = await trust.feeds.apply(definitions("a", "b"), actor="admin:alice")
    assert [one.change for one in first] == [Applied.CREATED] * 2
    assert all(one.secret is not None and one.secret.startswith("whsec_") for one in first)
    again = await trust.feeds.apply(definitions("a", "b"), actor="admin:bob")
    assert [(one.change, one.secret) for one in again] == [(Applied.UNCHANGED, None)] * 2
    wanted = definitions("b", may_clear=False)
    assert [one.change for one in await trust.feeds.preview(wanted)] == [Applied.CHANGED]
    assert (await trust.feeds.feed("b")).may_clear
    changed = await trust.feeds.apply(wanted, actor="admin:bob")
    assert [(one.change, one.secret) for one in changed] == [(Applied.CHANGED, None)]
    assert not (await trust.feeds.feed("b")).may_clear
    assert [one.name for one in await trust.feeds.feeds()] == ["a", "b"]
    kinds = [kind for kind, _ in await trust.events() if kind == "feed.applied"]
    assert len(kinds) == 3


async def test_two_who_apply_at_once_create_each_feed_once_and_only_one_is_shown_its_secret(trust: Trust) -> None:
    results = await asyncio.gather(*(trust.feeds.apply(definitions("a", "b"), actor=f"admin:{n}") for n in range(4)))
    shown_secrets = [one.secret for result in results for one in result if one.secret is not None]
    assert len(shown_secrets) == 2
    assert {shown((await trust.feeds.secrets(name))[0]) for name in ("a", "b")} == set(shown_secrets)


async def test_the_secret_is_not_in_the_database_nor_in_the_ledger(trust: Trust) -> None:
    secret = await trust.feed()
    raw = (await trust.feeds.secrets("edr"))[0]
    stored = await trust.database.fetchval("SELECT secret FROM feed")
    assert raw not in stored
    assert secret not in str(await trust.events())


async def test_while_a_secret_is_changed_over_both_are_good_and_then_only_the_new_one(trust: Trust) -> None:
    old = await trust.feed()
    new = await trust.feeds.change_secret("edr", actor="admin:alice")
    assert [shown(one) for one in await trust.feeds.secrets("edr")] == [new, old]
    trust.clock.advance(timedelta(hours=24))
    assert [shown(one) for one in await trust.feeds.secrets("edr")] == [new]


async def test_a_leaked_secret_dies_at_once(trust: Trust) -> None:
    await trust.feed()
    new = await trust.feeds.change_secret("edr", actor="admin:alice", overlap=timedelta(0))
    assert [shown(one) for one in await trust.feeds.secrets("edr")] == [new]


async def test_applying_a_changed_definition_keeps_the_secrets(trust: Trust) -> None:
    await trust.feed()
    await trust.feeds.change_secret("edr", actor="admin:alice")
    before = await trust.feeds.secrets("edr")
    await trust.feed(may_clear=False)
    assert await trust.feeds.secrets("edr") == before


@pytest.mark.parametrize("name", ["nobody", "a\0b", "", "person:alice"])
async def test_a_feed_that_is_not_there_has_no_secret(trust: Trust, name: str) -> None:
    assert await trust.feeds.secrets(name) == ()
    with pytest.raises(FeedUnknown):
        await trust.feeds.change_secret("nobody", actor="admin:alice")


async def test_suspending_and_resuming_are_in_the_ledger(trust: Trust) -> None:
    await trust.feed()
    await trust.feeds.suspend("edr", actor="admin:alice", reason="flood")
    assert (await trust.feeds.feed("edr")).suspended
    await trust.feeds.resume("edr", actor="admin:alice", reason="mended")
    assert not (await trust.feeds.feed("edr")).suspended
    assert [kind for kind, _ in await trust.events()][-2:] == ["feed.suspended", "feed.resumed"]
