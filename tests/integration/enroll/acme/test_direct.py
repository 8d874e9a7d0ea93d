"""A challenge validated while its client waits: one commit, and the durable way wherever that does not work out."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.acme_door import Door
from troth.client.acme import AcmeClient
from troth.client.acme_objects import Challenge
from troth.enroll.acme.direct import Direct
from troth.enroll.acme.validate.beside import Beside, answer_on
from troth.enroll.acme.validate.outcome import Challenge as Asked
from troth.enroll.acme.validate.outcome import Invalid, Valid


class Held:
    """A validator that waits for leave, and counts."""

    def __init__(self, door: Door) -> None:
        validator = door.jobs._validator
        assert validator is not None
        self.inner = validator
        self.leave = asyncio.Event()
        self.leave.set()
        self.asked: list[Asked] = []
        self.withdrawn = asyncio.Event()

    async def validate(self, challenge: Asked) -> Valid | Invalid:
        self.asked.append(challenge)
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.withdrawn.set()
            raise
        return await self.inner.validate(challenge)

    async def permitted(self, *_: object) -> Valid | Invalid:
        raise AssertionError


@pytest.fixture
async def held(door: Door) -> Held:
    return Held(door)


@pytest.fixture
async def worker(held: Held, tmp_path: Path) -> AsyncIterator[Path]:
    """A worker beside the door; the path of its socket."""
    path = tmp_path / "v.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = await answer_on(listener, held)
        yield path
        server.close()


@pytest.fixture
async def direct(door: Door, worker: Path) -> AsyncIterator[Direct]:
    beside = Beside(worker)
    made = Direct(door.desks.orders, beside, door.jobs, patience=20.0)
    door.reopen(replace(door.desks, direct=made))
    yield made
    beside.close()


async def asked_for(door: Door, client: AcmeClient, name: str) -> Challenge:
    order = await client.new_order([("dns", name)])
    challenge = (await client.authorization(order.authorizations[0])).challenge("http-01")
    assert challenge is not None
    return challenge


async def jobs(door: Door) -> int:
    return int(await door.mint.database.fetchval("SELECT count(*) FROM job WHERE kind = 'acme.validate'"))


async def kinds(door: Door) -> list[str]:
    rows = await door.mint.database.fetch(
        "SELECT convert_from(payload, 'UTF8')::json ->> 'kind' AS kind FROM ledger_inbox"
    )
    return [row["kind"] for row in rows]


async def test_the_result_is_in_the_answer_and_there_was_no_job(door: Door, direct: Direct) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    door.serve(client, challenge.token)
    assert (await client.answer(challenge)).status == "valid"
    assert await jobs(door) == 0
    assert "acme.authorization.valid" in await kinds(door)


async def test_a_wrong_answer_is_told_at_once(door: Door, direct: Direct) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    door.web_root.tokens[challenge.token] = "wrong"
    answer = await client.answer(challenge)
    assert (answer.status, answer.error is not None) == ("invalid", True)
    assert await jobs(door) == 0
    assert "acme.authorization.invalid" in await kinds(door)


async def test_what_may_pass_is_tried_again_by_a_job_that_knows_of_the_first_try(
    door: Door, direct: Direct, held: Held
) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    door.dns.failures["a.test"] = "SERVFAIL"
    answer = await client.answer(challenge)
    assert (answer.status, answer.error is not None) == ("processing", True)
    assert await jobs(door) == 1
    payload = await door.mint.database.fetchval("SELECT payload FROM job WHERE kind = 'acme.validate'")
    assert '"tried": 1' in payload or '"tried":1' in payload


async def test_without_a_worker_it_is_a_job(door: Door, tmp_path: Path) -> None:
    beside = Beside(tmp_path / "nobody.sock")
    door.reopen(replace(door.desks, direct=Direct(door.desks.orders, beside, door.jobs)))
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    assert (await client.answer(challenge)).status == "processing"
    assert await jobs(door) == 1


async def test_a_slow_validation_is_withdrawn_and_becomes_a_job(door: Door, direct: Direct, held: Held) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    held.leave.clear()
    direct._patience = 0.05
    assert (await client.answer(challenge)).status == "processing"
    await asyncio.wait_for(held.withdrawn.wait(), 120)
    assert await jobs(door) == 1
    held.leave.set()
    door.serve(client, challenge.token)
    assert await door.validate() == 1


async def test_a_worker_that_dies_leaves_it_to_a_job(door: Door, tmp_path: Path) -> None:
    async def die(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack(">II", 5, 1) + b"rumor" + struct.pack(">II", 2**31, 2))

    client = await door.client()
    for number, behaviour in enumerate((die, babble)):
        path = tmp_path / f"{number}.sock"
        server = await asyncio.start_unix_server(behaviour, path)
        beside = Beside(path)
        door.reopen(replace(door.desks, direct=Direct(door.desks.orders, beside, door.jobs, patience=20.0)))
        assert (await client.answer(await asked_for(door, client, f"{number}.test"))).status == "processing"
        assert await jobs(door) == number + 1
        beside.close()
        server.close()


async def test_two_answers_at_once_come_to_one_result(door: Door, direct: Direct, held: Held) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    door.serve(client, challenge.token)
    held.leave.clear()
    first = asyncio.create_task(client.answer(challenge))
    while not held.asked:
        await asyncio.sleep(0)
    second = await client.answer(challenge)  # somebody asks already: it takes the durable way
    assert second.status == "processing"
    held.leave.set()
    assert (await first).status == "valid"
    await door.validate()
    assert await jobs(door) == 0
    assert (await kinds(door)).count("acme.authorization.valid") == 1


async def test_one_connection_carries_many_questions(door: Door, direct: Direct, held: Held) -> None:
    client = await door.client()
    challenges = [await asked_for(door, client, f"n{number}.test") for number in range(12)]
    for challenge in challenges:
        door.serve(client, challenge.token)
    answers = await asyncio.gather(*(client.answer(challenge) for challenge in challenges))
    assert {answer.status for answer in answers} == {"valid"}
    assert await jobs(door) == 0


async def test_the_question_is_the_one_that_a_job_puts(door: Door, direct: Direct, held: Held) -> None:
    client = await door.client()
    challenge = await asked_for(door, client, "a.test")
    door.serve(client, challenge.token)
    await client.answer(challenge)
    (asked,) = held.asked
    assert (asked.type, asked.identifier.value, asked.token) == ("http-01", "a.test", challenge.token)
    assert asked.key_authorization.startswith(f"{challenge.token}.")
