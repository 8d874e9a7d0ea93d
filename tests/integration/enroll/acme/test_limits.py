"""Limits, waits and pauses at the ACME door."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.acme_door import BASE, Door, LaneTransport, Lines
from tests.support.enrolling import enrolling_for
from troth.client.acme import AcmeClient
from troth.client.acme_session import AcmeError
from troth.client.jose import SigningKey, b64url_decode, b64url_encode
from troth.client.transport import HttpAnswer
from troth.enroll.acme.accounts import AccountDesk, AccountRules
from troth.enroll.acme.limit_store import LimitStore
from troth.enroll.acme.limits import Limit
from troth.enroll.acme.orders import OrderDesk, OrderRules
from troth.enroll.acme.pausing import Patience
from troth.enroll.acme.prune import Pruner
from troth.enroll.acme.unpause import UnpauseDoor
from troth.enroll.acme.validation import ValidationJobs
from troth.kit.clock import FakeClock
from troth.kit.lane import Lane

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
IMPATIENT = Patience(free=2, longest=timedelta(minutes=10), most=6)


def limited(door: Door, patience: Patience | None = None, **limits: Limit) -> None:
    """The same door with limits, and with the unpause page before it."""
    database, clock = door.mint.database, door.mint.clock
    made = enrolling_for(database, clock, limits=limits, patience=patience, base=BASE)
    orders = OrderDesk(database, clock, OrderRules(), made.admission)
    accounts = AccountDesk(database, clock, AccountRules(), made.enrolments, made.meters)
    door.enrolling = made
    door.reopen(replace(door.desks, orders=orders, accounts=accounts))
    before = door.jobs
    door.jobs = ValidationJobs(database, orders, before._validator, clock, before._directories, base=BASE, attempts=1)
    lane = door.lane
    routes = [*UnpauseDoor(made.pausing).routes(), *lane.routes]
    door.lane = Lane(routes, on_error=lane.on_error, refusal=lane.refusal)


async def refused(call: Any) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await call
    return caught.value


# --- limits --------------------------------------------------------------------------------------------------------


async def test_orders_of_an_account_are_limited_with_retry_after(door: Door, clock: FakeClock) -> None:
    limited(door, orders_per_account=Limit("new orders of this account", 2, HOUR))
    client, other = await door.client(), await door.client()
    for number in range(2):
        await client.new_order([("dns", f"n{number}.test")])
    error = await refused(client.new_order([("dns", "n3.test")]))
    assert (error.status, error.problem.short_type) == (429, "rateLimited")
    assert error.retry_after == 1801
    assert (await other.new_order([("dns", "n3.test")])).status == "pending"
    await door.enrolling.meters.flush()
    limited(door, orders_per_account=Limit("new orders of this account", 2, HOUR))  # a restart
    again = await AcmeClient.open(
        door.directory(), key=client.key, transport=LaneTransport(door.lane), account_url=client.account_url
    )
    await again.new_order([("dns", "n4.test")])
    await door.enrolling.meters.flush()
    assert (await refused(again.new_order([("dns", "n5.test")]))).status == 429
    clock.advance(HOUR * 2)
    await again.new_order([("dns", "n5.test")])
    await LimitStore(door.mint.database).sweep(clock.now() + DAY)
    assert await door.count("acme_meter") == 0


async def test_the_same_names_again_and_again_are_limited(door: Door) -> None:
    limited(door, duplicates=Limit("new orders for exactly these names", 2, DAY, quiet=1))
    client = await door.client()
    names = [("dns", "a.test"), ("dns", "b.test")]
    for _ in range(2):
        await client.new_order(names)
    assert (await refused(client.new_order(names[::-1]))).problem.short_type == "rateLimited"
    await client.new_order(names[:1])


async def test_domains_are_limited_whoever_asks(door: Door) -> None:
    limited(door, orders_per_domain=Limit("new orders for this domain", 2, DAY))
    first, second = await door.client(), await door.client()
    await first.new_order([("dns", "a.shop.test"), ("dns", "b.shop.test"), ("dns", "x.other.test")])
    await second.new_order([("dns", "*.shop.test")])
    assert (await refused(second.new_order([("dns", "c.shop.test")]))).problem.short_type == "rateLimited"
    await second.new_order([("dns", "y.other.test")])


async def test_new_accounts_of_a_network_are_limited_but_known_ones_are_found(door: Door) -> None:
    limited(door, accounts_per_network=Limit("new accounts from this network", 2, HOUR))
    clients = [await door.client() for _ in range(2)]
    transport = LaneTransport(door.lane)
    fresh = await AcmeClient.open(door.directory(), key=SigningKey.generate(), transport=transport)
    assert (await refused(fresh.register())).status == 429
    assert not (await clients[0].register()).created


async def test_many_processes_and_restarts_write_one_meter(door: Door, clock: FakeClock) -> None:
    store = LimitStore(door.mint.database)
    spent = {"orders:a": timedelta(seconds=10), "orders:b": timedelta(seconds=1)}
    found = await asyncio.gather(*(store.spend(spent, clock.now()) for _ in range(6)))
    assert max(one["orders:a"] for one in found) == clock.now() + timedelta(seconds=60)
    clock.advance(timedelta(minutes=5))
    assert (await store.spend(spent, clock.now()))["orders:a"] == clock.now() + timedelta(seconds=10)


# --- clients that never succeed ------------------------------------------------------------------------------------


async def fail(door: Door, client: AcmeClient, name: str) -> None:
    """One order for ``name`` whose validation fails for good."""
    order = await client.new_order([("dns", name)])
    challenge = (await client.authorization(order.authorizations[0])).challenge("http-01")
    assert challenge is not None
    await client.answer(challenge)
    assert await door.validate() == 1
    assert (await client.order(order.url)).status == "invalid"


async def test_whoever_fails_again_and_again_waits_longer_each_time(door: Door, clock: FakeClock) -> None:
    limited(door, IMPATIENT)
    client, other = await door.client(), await door.client()
    for _ in range(2):
        await fail(door, client, "a.test")
    await fail(door, client, "a.test")  # the free ones cost no wait
    error = await refused(client.new_order([("dns", "a.test"), ("dns", "b.test")]))
    assert (error.status, error.problem.short_type, error.retry_after) == (429, "rateLimited", 61)
    await client.new_order([("dns", "b.test")])
    await other.new_order([("dns", "a.test")])
    clock.advance(timedelta(seconds=61))
    await fail(door, client, "a.test")
    assert (await refused(client.new_order([("dns", "a.test")]))).retry_after == 121
    clock.advance(timedelta(seconds=121))
    await door.issued(client, "a.test")
    assert await door.count("acme_failing") == 0, "a success forgets all of it"


async def paused(door: Door, clock: FakeClock, name: str = "a.test") -> tuple[AcmeClient, AcmeError]:
    client = await door.client()
    for _ in range(6):
        await fail(door, client, name)
        clock.advance(timedelta(minutes=10, seconds=1))
    return client, await refused(client.new_order([("dns", name)]))


async def page(door: Door, url: str, method: str = "GET") -> HttpAnswer:
    return (await door.post(url, b"", content_type=None, method=method))[2]


async def test_whoever_never_succeeds_is_paused_and_finds_the_way_back(door: Door, clock: FakeClock) -> None:
    limited(door, IMPATIENT)
    client, error = await paused(door, clock)
    assert (error.status, error.problem.short_type) == (429, "rateLimited")
    [url] = re.findall(r"https://\S+/acme/unpause/\S+", error.problem.detail)
    assert any(f'<{url}>;rel="help"' in link for link in error.headers["link"])
    clock.advance(DAY)
    assert (await refused(client.new_order([("dns", "a.test")]))).status == 429, "time alone does not help"
    await client.new_order([("dns", "b.test")])

    for method in ("GET", "HEAD", "GET"):  # mail scanners look, and must not set anything going
        shown = await page(door, url, method)
        assert shown.status == 200
    assert b"a.test" in shown.body
    assert b"6 failures" in shown.body
    policy = (shown.header("content-security-policy") or "").split("; ")
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert shown.header("referrer-policy") == "no-referrer"
    assert (await refused(client.new_order([("dns", "a.test")]))).status == 429

    done = await page(door, url, "POST")
    assert (done.status, b"1 name" in done.body) == (200, True)
    assert b"Nothing is paused" in (await page(door, url)).body
    assert b"Nothing was paused" in (await page(door, url, "POST")).body
    await door.issued(client, "a.test")
    assert [kind for kind in await door.events("acme.account.") if "pause" in kind] == [
        "acme.account.paused", "acme.account.unpaused",
    ]  # fmt: skip


async def test_failures_are_forgotten_with_their_orders_and_pauses_are_not(door: Door, clock: FakeClock) -> None:
    limited(door, IMPATIENT)
    client, _ = await paused(door, clock)
    await fail(door, client, "b.test")
    await fail(door, client, "c.test")
    clock.advance(timedelta(days=20))
    await fail(door, client, "c.test")
    clock.advance(timedelta(days=20))
    await Pruner(door.mint.database, clock, keep=timedelta(days=30)).run_once()
    rows = await door.mint.database.fetch("SELECT value, failures FROM acme_failing ORDER BY value")
    assert [tuple(row.values()) for row in rows] == [("a.test", 6), ("c.test", 2)]


async def test_the_link_is_not_in_the_log(door: Door, clock: FakeClock, logged: Lines) -> None:
    """Whoever has it may unpause the account."""
    limited(door, IMPATIENT)
    _, error = await paused(door, clock)
    [token] = re.findall(r"/acme/unpause/(\S+)", error.problem.detail)
    assert "acme/unpause/…" in logged.text()
    assert token not in logged.text()


async def test_a_link_undoes_only_what_was_paused_before_it(door: Door, clock: FakeClock) -> None:
    limited(door, IMPATIENT)
    client, error = await paused(door, clock)
    [url] = re.findall(r"https://\S+/acme/unpause/\S+", error.problem.detail)
    await page(door, url, "POST")
    for _ in range(6):
        await fail(door, client, "a.test")
        clock.advance(timedelta(minutes=10, seconds=1))
    assert b"Nothing is paused" in (await page(door, url)).body
    await page(door, url, "POST")
    assert (await refused(client.new_order([("dns", "a.test")]))).status == 429


async def test_a_link_that_is_not_ours_too_old_or_anothers_opens_nothing(door: Door, clock: FakeClock) -> None:
    limited(door, IMPATIENT)
    client, error = await paused(door, clock)
    [url] = re.findall(r"https://\S+/acme/unpause/\S+", error.problem.detail)
    root, _, token = url.rpartition("/")
    octets = bytearray(b64url_decode(token))
    octets[-1] ^= 1
    sealed = door.enrolling.enrolments._box.seal("link", b"x" * 24)  # sealed by us, for another purpose
    for wrong in ("x", token[:-1], token + "A", "é<script>", b64url_encode(bytes(octets)), b64url_encode(sealed)):
        answer = await page(door, f"{root}/{wrong}", "POST")
        assert answer.status in (400, 404), wrong
        assert b"<script>" not in answer.body
    clock.advance(timedelta(days=14))
    assert (await page(door, url, "POST")).status == 400
    assert (await refused(client.new_order([("dns", "a.test")]))).status == 429


async def test_without_patience_nobody_waits(door: Door) -> None:
    limited(door, None)
    client = await door.client()
    for _ in range(8):
        await fail(door, client, "a.test")
    assert await door.count("acme_failing") == 0
    await door.issued(client, "a.test")
