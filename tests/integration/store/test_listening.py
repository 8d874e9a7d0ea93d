"""Wake-ups: every channel of a process over one connection that heals itself."""

from __future__ import annotations

import asyncio

from troth.store.pool import Database

_LISTENING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'troth-listen' AND datname = current_database()"


async def heard(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(120):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


async def quiet(*events: asyncio.Event) -> None:
    """Let what is called at the beginning be over."""
    await asyncio.sleep(0.3)
    for event in events:
        event.clear()


async def test_each_channel_wakes_its_own_callbacks_over_one_connection(database: Database) -> None:
    first, second, other = asyncio.Event(), asyncio.Event(), asyncio.Event()
    await database.listen("test_one", first.set)
    await database.listen("test_two", other.set)
    assert await heard(first)
    assert await heard(other)
    await database.listen("test_one", second.set)
    assert await heard(second)
    await quiet(first, second, other)
    database.wake("test_one")
    assert await heard(first)
    assert await heard(second)
    assert not other.is_set()
    assert len(await database.fetch(_LISTENING)) == 1


async def test_a_channel_that_is_added_later_is_heard_too(database: Database) -> None:
    early, late = asyncio.Event(), asyncio.Event()
    await database.listen("test_early", early.set)
    await quiet(early)
    await database.listen("test_late", late.set)
    await quiet(late)
    database.wake("test_late")
    assert await heard(late)
    assert not early.is_set()


async def test_a_broken_connection_is_made_anew_with_every_channel(database: Database) -> None:
    one, two = asyncio.Event(), asyncio.Event()
    await database.listen("test_one", one.set)
    await database.listen("test_two", two.set)
    await quiet(one, two)
    [row] = await database.fetch(_LISTENING)
    await database.fetchval("SELECT pg_terminate_backend($1)", row["pid"])
    # Called once without a word from anybody: something may have been said while nobody listened.
    assert await heard(one)
    assert await heard(two)
    await quiet(one, two)
    database.wake("test_one")
    database.wake("test_two")
    assert await heard(one)
    assert await heard(two)


async def test_many_wake_ups_within_a_pace_are_told_at_once_and_once_more_after_it(database: Database) -> None:
    told: list[int] = []
    event = asyncio.Event()

    def hear() -> None:
        told.append(1)
        event.set()

    await database.listen("test_paced", hear)
    await quiet(event)
    told.clear()
    database.wake("test_paced", pace=0.5)
    assert await heard(event)
    for _ in range(10):
        database.wake("test_paced", pace=0.5)
    assert len(told) == 1
    assert await heard(event)
    await quiet(event)
    assert len(told) == 2


async def test_a_wake_up_without_pace_waits_for_nobodys(database: Database) -> None:
    event = asyncio.Event()
    await database.listen("test_hurried", event.set)
    await quiet(event)
    database.wake("test_hurried", pace=3600)
    assert await heard(event)
    database.wake("test_hurried", pace=3600)
    assert not event.is_set()
    database.wake("test_hurried")
    assert await heard(event)
