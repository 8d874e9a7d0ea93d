"""The answer to a challenge is held back for a moment, if that spares the client from asking again."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from tests.support.acme_door import Door
from troth.client.acme import AcmeClient
from troth.client.acme_objects import Challenge
from troth.enroll.acme.results import Results
from troth.store.pool import Database


@pytest.fixture
async def other(database_url: str, door: Door) -> Database:
    """The database as another process sees it."""
    return await Database.open(database_url, clock=door.mint.clock)


async def challenge_of(door: Door, client: AcmeClient, name: str) -> Challenge:
    order = await client.new_order([("dns", name)])
    challenge = (await client.authorization(order.authorizations[0])).challenge("http-01")
    assert challenge is not None
    return challenge


async def answered(door: Door, client: AcmeClient, challenge: Challenge) -> Challenge:
    """Answer, while a worker validates as soon as the job is there."""

    async def work() -> None:
        while await door.validate() == 0:
            await asyncio.sleep(0.01)

    answer, _ = await asyncio.gather(client.answer(challenge), work())
    return answer


@pytest.fixture
async def patient(door: Door) -> Results:
    """The door's desk for results, willing to wait."""
    results = door.desks.results
    results._patience = 60.0
    return results


async def test_a_validation_that_is_fast_is_told_in_the_answer_itself(door: Door, patient: Results) -> None:
    client = await door.client()
    challenge = await challenge_of(door, client, "a.test")
    door.serve(client, challenge.token)
    assert (await answered(door, client, challenge)).status == "valid"
    assert patient._waiting == {}


async def test_a_failed_try_is_told_at_once_and_not_waited_out(door: Door, patient: Results) -> None:
    client = await door.client()
    door.dns.failures["a.test"] = "SERVFAIL"
    patient._patience = 600.0  # whoever waited this out would end the test
    answer = await answered(door, client, await challenge_of(door, client, "a.test"))
    assert (answer.status, answer.error is not None) == ("processing", True)
    wrong = await challenge_of(door, client, "b.test")
    assert (await answered(door, client, wrong)).status == "invalid"


async def test_a_slow_validation_is_not_waited_for_longer_than_patience(door: Door, patient: Results) -> None:
    patient._patience = 0.1
    client = await door.client()
    challenge = await challenge_of(door, client, "a.test")
    assert (await client.answer(challenge)).status == "processing"
    assert patient._waiting == {}


async def test_many_wait_at_once_with_few_statements(
    door: Door, patient: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await door.client()
    challenges = [await challenge_of(door, client, f"n{number}.test") for number in range(12)]
    looks: list[int] = []
    answered_now = patient._store.answered

    async def counted(authzs: object) -> object:
        looks.append(len(list(authzs)))  # type: ignore[call-overload]
        return await answered_now(authzs)  # type: ignore[arg-type]

    monkeypatch.setattr(patient, "_store", type("Counted", (), {"answered": staticmethod(counted)})())
    for challenge in challenges:
        door.serve(client, challenge.token)
    waiting = asyncio.gather(*(client.answer(challenge) for challenge in challenges))
    done = 0
    while done < 12:
        done += await door.validate()
        await asyncio.sleep(0.01)
    assert {answer.status for answer in await waiting} == {"valid"}
    assert max(looks) > 1, "one statement looks for all who wait"
    assert len(looks) < sum(looks)


async def test_a_database_that_goes_away_costs_the_wait_and_nothing_else(
    door: Door, patient: Results, other: Database
) -> None:
    await other.close()
    client = await door.client()
    challenge = await challenge_of(door, client, "a.test")
    stored = await door.desks.store.authorization(UUID(challenge.url.split("/")[-2]))
    account = await door.desks.store.account(UUID(client.account_url.rpartition("/")[2]))
    assert stored is not None
    assert account is not None
    changed = await door.desks.orders.answer(account, stored, "http-01")
    blind = Results(other, patience=0.2)
    assert await blind.of(changed) == changed
