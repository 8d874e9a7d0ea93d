"""The database goes away and comes back: no yes from memory meanwhile, and everything right afterwards."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest

from tests.integration.status.conftest import Client, StatusHouse
from tests.support.mint import Minted, make_mint
from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import SystemClock
from troth.store.migrate import migrate
from troth.store.pool import Database

#: No worker vouches for longer than this after it has heard the last.
_LEASE_SECONDS = 1.0


@pytest.fixture
def patience() -> int:
    return 50


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def minted(durable_postgres: PostgresServer, clock: SystemClock) -> Minted:
    run_apart(migrate(durable_postgres.url()))
    made = Minted.named("postgres")
    run_apart(make_mint(durable_postgres.url(), made, clock))
    return made


@pytest.fixture
async def database(durable_postgres: PostgresServer, minted: Minted, clock: SystemClock) -> AsyncIterator[Database]:
    opened = await Database.open(durable_postgres.url(), clock=clock)
    yield opened
    await opened.close()


@pytest.mark.chaos
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_while_the_database_is_away_nothing_is_good(
    durable_postgres: PostgresServer, house: StatusHouse, client: Client, how: signal.Signals
) -> None:
    good, held = await house.issue(), await house.issue()
    await house.hold(held.id)
    await house.effective()
    assert await client.told(good.der) == "good"
    assert await client.told(held.der) == "revoked:certificate_hold"
    await asyncio.to_thread(durable_postgres.stop, how)
    stopped = time.monotonic()
    async with asyncio.timeout(120):
        while (asked := time.monotonic()) and await client.status(good.der) != "try_later":
            assert asked - stopped < _LEASE_SECONDS, "asked after the lease had lapsed, and told a yes from memory"
            await asyncio.sleep(0.02)
    assert await client.status(held.der) == "try_later"
    assert (await client.http.get("/readyz")).status_code == 503
    assert (await client.http.get("/ca/issuing.cer")).status_code == 200
    await asyncio.to_thread(durable_postgres.start)
    assert await client.told(good.der) == "good"
    assert await client.told(held.der) == "revoked:certificate_hold"
    await house.hold(good.id)
    await house.effective()
    assert await client.told(good.der) == "revoked:certificate_hold"
