"""What a process lends from one request to the next (ADR 12), and another process changes meanwhile.

What is done here through a desk and not through the door is another process's: the door's loans do not hear of it.
"""

from __future__ import annotations

from uuid import UUID

from tests.integration.enroll.acme.test_accounts import refused
from tests.support.acme_door import BASE, Door, csr_for
from troth.client.acme import AcmeClient
from troth.client.jose import SigningKey
from troth.enroll.acme.closing import Closer
from troth.enroll.acme.store import CANCEL_ORDERS
from troth.enroll.acme.urls import Urls
from troth.store.unit import Unit


def account_of(client: AcmeClient) -> UUID:
    return UUID(client.account_url.rpartition("/")[2])


def lends_account(door: Door, client: AcmeClient) -> bool:
    assert door.desks.lately is not None
    return door.desks.lately.for_new_order(account_of(client), UUID(int=0)) is not None


async def test_an_account_that_another_process_has_closed_places_and_finalizes_nothing(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    assert lends_account(door, client)
    await Closer(door.mint.database, door.mint.clock).revoke(account_of(client), by="admin:alice", certificates=False)
    assert lends_account(door, client), "the door has not heard of it"
    orders = await door.count("acme_order")
    for call in (client.finalize(order, csr_for(["a.test"])), client.new_order([("dns", "b.test")])):
        error = await refused(call)
        assert (error.status, error.problem.short_type) == (401, "unauthorized")
    assert (await door.count("acme_order"), await door.count("certificate")) == (orders, 0)


async def test_a_key_that_another_process_has_changed_opens_nothing_and_the_new_one_opens_all(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    account = await door.desks.store.account(account_of(client))
    assert account is not None
    old, new = client.key, SigningKey.generate()
    await door.desks.accounts.change_key(account, new.public, Urls.of(BASE, "tls-server"))
    assert lends_account(door, client)
    assert (await refused(client.new_order([("dns", "b.test")]))).status == 401
    assert (await refused(client.finalize(order, csr_for(["a.test"])))).status == 401
    assert await door.count("certificate") == 0
    client.key = new
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"
    client.key = old
    assert (await refused(client.new_order([("dns", "b.test")]))).status in (400, 401, 403)
    assert await door.count("acme_order") == 1


async def test_an_order_that_another_process_has_ended_is_not_finalized(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    await door.mint.database.commit(Unit().write(CANCEL_ORDERS, account_of(client)))
    error = await refused(client.finalize(order, csr_for(["a.test"])))
    assert error.problem.short_type == "orderNotReady"
    assert await door.count("certificate") == 0


async def test_an_accounts_own_change_ends_its_loan_at_once(door: Door) -> None:
    client = await door.client()
    done = await door.issued(client, "a.test")
    await client.certificate(done)
    assert lends_account(door, client)
    await client.deactivate()
    assert not lends_account(door, client)
    assert (await refused(client.certificate(done))).status == 401
