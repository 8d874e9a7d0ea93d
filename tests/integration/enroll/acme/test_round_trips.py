"""What an order costs in round trips to PostgreSQL. Each wakes two processes: whoever adds one changes a number here,
and says why."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.enroll.acme.test_enrolments import enrolled
from tests.support.acme_door import Door, csr_for
from tests.support.wires import EXCHANGE, look_on
from troth.client.acme import AcmeClient
from troth.enroll.acme.direct import Direct
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.validate.beside import Beside, answer_on
from troth.enroll.credentials.model import NameRules
from troth.store.pool import Database
from troth.store.wire import Ask, Outcome, Wire


@pytest.fixture
async def beside(door: Door, tmp_path: Path) -> AsyncIterator[None]:
    """The door as a web process has it: shared look-ups, and a worker on the same machine."""
    validator = door.jobs._validator
    assert validator is not None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "v.sock"))
        listener.listen()
        server = await answer_on(listener, validator)
        asking = Beside(tmp_path / "v.sock")
        direct = Direct(door.desks.orders, asking, door.jobs, patience=20.0)
        door.reopen(replace(door.desks, direct=direct, store=AcmeStore(door.mint.database.lookups)))
        yield
        asking.close()
        server.close()


@pytest.fixture
async def trips(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Exchanges, commits among them, their statements, and statements of their own."""
    counted: Counter[str] = Counter()
    read = Database._read

    async def counting(wire: Wire, asks: Sequence[Ask]) -> Outcome:
        # A wake-up goes along with whatever leaves next, or alone: when, is a matter of time.
        said = [ask.sql for ask in asks if "pg_notify" not in ask.sql]
        counted["exchanges"] += bool(said)
        counted["commits"] += said[:1] == ["BEGIN"]
        counted["statements"] += sum(sql not in ("BEGIN", "COMMIT") for sql in said)
        return await EXCHANGE(wire, asks)

    async def reading(self: Database, method: str, sql: str, values: tuple[Any, ...]) -> Any:
        counted["alone"] += 1
        return await read(self, method, sql, values)

    look_on(monkeypatch, counting)
    monkeypatch.setattr(Database, "_read", reading)
    return counted


async def order(door: Door, client: AcmeClient, name: str) -> None:
    """From newOrder to the downloaded chain."""
    placed = await client.new_order([("dns", name)])
    if placed.status == "pending":
        authz = await client.authorization(placed.authorizations[0])
        challenge = authz.challenge("http-01")
        assert challenge is not None
        door.serve(client, challenge.token)
        assert (await client.answer(challenge)).status == "valid"
    done = await client.finalize(placed, csr_for([name]))
    assert await client.certificate(done)


async def spent(door: Door, client: AcmeClient, trips: Counter[str]) -> dict[str, int]:
    await order(door, client, "warm.a.test")  # prepares statements, and fills what is kept
    trips.clear()
    await order(door, client, "counted.a.test")
    return dict(trips)


@pytest.mark.usefixtures("beside")
async def test_round_trips_of_an_order_by_http_01(door: Door, trips: Counter[str]) -> None:
    # newOrder 1 and a commit, authorization 1, challenge 1 and a commit, finalize two commits; and the subjects of its
    # names, which are read alone here and with others in a web process. What newOrder, finalize and the certificate
    # would look up besides is lent (ADR 12), for a second.
    expected = {"exchanges": 7, "commits": 4, "statements": 27, "alone": 1}
    assert await spent(door, await door.client(), trips) == expected


@pytest.mark.usefixtures("beside")
async def test_round_trips_of_an_order_on_an_enrolments_word(door: Door, trips: Counter[str]) -> None:
    client, _ = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)))
    expected = {"exchanges": 3, "commits": 3, "statements": 19, "alone": 1}
    assert await spent(door, client, trips) == expected
