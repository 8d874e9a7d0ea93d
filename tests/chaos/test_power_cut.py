"""Everything is killed at once under load, as by a power cut; or the supervisor alone; or the database alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from tests.chaos.applicant import Applicant
from tests.chaos.ruin import Ruin, keep_ordering, nothing_is_broken
from troth.client.acme import AcmeClient
from troth.client.acme_session import sign_jws
from troth.client.jose import SigningKey
from troth.client.transport import Transport, trusting

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200), pytest.mark.xdist_group("chaos-processes")]

CLIENTS = 6
#: Orders that have begun since the last look, and before the next thing happens.
ORDERS = 2 * CLIENTS


@contextlib.asynccontextmanager
async def load(ruin: Ruin, prefix: str) -> AsyncIterator[list[Applicant]]:
    """Clients that order all the while; at the end, what they got, every order brought to its end."""
    stop, made = asyncio.Event(), list[Applicant]()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ruin.account()) for _ in range(CLIENTS)]
        tasks = [
            asyncio.create_task(keep_ordering(client, ruin.web_root, f"{prefix}-{number}", stop, made))
            for number, client in enumerate(clients)
        ]
        await more(made)
        yield made
        stop.set()
        await asyncio.gather(*tasks)


async def more(made: list[Applicant]) -> None:
    """Wait until so many further orders have begun."""
    wanted = len(made) + ORDERS
    while len(made) <= wanted:
        await asyncio.sleep(0.05)


async def test_a_power_cut_loses_no_acknowledged_certificate_and_admits_no_nonce_twice(ruin: Ruin) -> None:
    before = ruin.summary
    async with spent(ruin) as replayed, load(ruin, "power-cut") as applicants:
        await asyncio.to_thread(ruin.kill)
        await asyncio.to_thread(ruin.start)
        assert await replayed() == (400, "badNonce")
    assert ruin.summary == before
    await done_is_done(ruin, applicants)


async def test_a_supervisor_that_is_killed_leaves_a_database_that_the_next_one_adopts(ruin: Ruin) -> None:
    before, database = ruin.summary, await ruin.pid("database")
    async with load(ruin, "supervisor") as applicants:
        await asyncio.to_thread(ruin.kill_supervisor)
        await asyncio.to_thread(ruin.start)
    assert ruin.summary == before
    assert await ruin.pid("database") == database
    await done_is_done(ruin, applicants)


async def test_a_database_that_is_killed_comes_back_and_nothing_is_lost(ruin: Ruin) -> None:
    async with load(ruin, "database") as applicants:
        os.kill(await ruin.pid("database"), signal.SIGKILL)
        await more(applicants)
    await done_is_done(ruin, applicants)


async def done_is_done(ruin: Ruin, applicants: list[Applicant]) -> None:
    """Enough was going on, every order has ended, and every promise holds."""
    assert len(applicants) > ORDERS
    await nothing_is_broken(ruin, applicants)


@contextlib.asynccontextmanager
async def spent(ruin: Ruin) -> AsyncIterator[Callable[[], Awaitable[tuple[int, str]]]]:
    """A request with a nonce, accepted once; calling it sends it again. Status and error type."""
    async with Transport(trusting(str(ruin.root))) as transport:
        client = await AcmeClient.open(ruin.directory, key=SigningKey.generate(), transport=transport)
        url = (await client.register()).url
        head = await transport.request("HEAD", client.directory.new_nonce)
        protected = {"alg": "ES256", "nonce": head.header("replay-nonce"), "url": url, "kid": url}
        body = sign_jws(client.key, protected, b"")

        async def send() -> tuple[int, str]:
            headers = {"Content-Type": "application/jose+json"}
            answer = await transport.request("POST", url, body=body, headers=headers)
            return answer.status, msgspec.json.decode(answer.body).get("type", "").rpartition(":")[2]

        assert await send() == (200, "")
        yield send
