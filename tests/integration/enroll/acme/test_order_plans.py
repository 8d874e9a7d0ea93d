"""However many orders there are, none of an order's statements reads a table from one end to the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.acme_door import Door, csr_for
from tests.support.wires import EXCHANGE, look_on
from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.store.lease import Lease
from troth.store.wire import Ask, Outcome, Wire

#: Has one row.
_SINGLE = {"ledger_head"}
_UTILITY = ("BEGIN", "COMMIT", "ROLLBACK", "CREATE")


async def test_every_statement_of_an_order_finds_its_rows_by_an_index(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    async def noted(wire: Wire, asks: Sequence[Ask]) -> Outcome:
        asked.update(ask.sql for ask in asks)
        return await EXCHANGE(wire, asks)

    look_on(monkeypatch, noted)
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("http-01")
    assert challenge is not None
    door.serve(client, challenge.token)
    await client.answer(challenge)
    assert await door.validate() == 1
    order = await client.finalize(
        await client.order(order.url), csr_for(["a.test"], ec.generate_private_key(ec.SECP256R1()))
    )
    await client.certificate(order)
    database, instance = door.mint.database, new_id()
    held = await Lease(database, SystemClock(), LEASE_NAME, instance).acquire()
    assert held is not None
    assert await Sequencer(database, SystemClock(), instance).move(held) > 0

    statements = [sql for sql in asked if not sql.lstrip().startswith(_UTILITY)]
    written = {table for sql in statements for table in re.findall(r"(?:INSERT INTO|UPDATE) (\w+)", sql)}
    assert written >= {
        "acme_order", "acme_authz", "job", "certificate", "certificate_name", "certificate_subject", "decision",
        "subject", "ledger_inbox", "ledger_event", "ledger_subject", "ledger_head",
    }  # fmt: skip
    assert len(statements) > 30
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan")
        for number, sql in enumerate(statements):
            values = ["NULL"] * max((int(place) for place in re.findall(r"\$(\d+)", sql)), default=0)
            await connection.execute(f"PREPARE p{number} AS {sql}")
            called = f"p{number}({', '.join(values)})" if values else f"p{number}"
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE {called}"))
            walked = set(re.findall(r"Seq Scan on (\w+)", plan)) - _SINGLE
            assert not walked, f"{sql}\n{plan}"
