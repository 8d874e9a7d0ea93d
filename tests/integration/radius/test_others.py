"""Pools, lists, and orders for connections that others hold: what is kept, and what never is, in a real database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.support.radsec import TinyAuthority
from tests.unit.radius.radsec.test_connections import raw, running
from troth.access.passwords import Passwords
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.sealing import SecretBox
from troth.radius.methods.desk import Certified, ListDesk
from troth.radius.methods.errors import MethodError
from troth.radius.proxy.definition import parse_proxies
from troth.radius.proxy.desk import PoolDesk
from troth.radius.proxy.errors import PoolInvalid, PoolUnknown, ProxyError
from troth.radius.radsec.errors import ExchangeFailed
from troth.radius.radsec.orders import ReverseDesk, ReverseOrders
from troth.radius.wire.packet import Code
from troth.radius.wire.signing import Protection, encode_reply
from troth.store.pool import Database
from troth.trust.applied import Applied

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
NPS = """proxies:
  - name: nps
    realms: [corp.test]
    servers: [{address: '10.0.0.5:1812'}, {address: '10.0.0.6:1812'}]
"""
SECRET = b"a secret that NPS has too"


@pytest.fixture
def pools(database: Database, tmp_path: Path) -> PoolDesk:
    return PoolDesk(database, FakeClock(NOW), SecretBox.at(tmp_path / "proxies.secret", purpose="proxy"))


@pytest.fixture
def lists(database: Database) -> ListDesk:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    return ListDesk(database, FakeClock(NOW), Passwords(hasher))


async def test_pools_are_applied_whole_and_their_secrets_opened_for_processes_alone(
    pools: PoolDesk, database: Database
) -> None:
    (planned,) = await pools.apply(parse_proxies(NPS), actor="alice")
    assert (planned.change, planned.missing) == (Applied.CREATED, ("10.0.0.5:1812", "10.0.0.6:1812"))
    await pools.set_secret("nps", "10.0.0.5:1812", SECRET + b"\n", actor="alice")
    force = await pools.in_force()
    assert (force.secrets, force.versions) == ({("nps", "10.0.0.5:1812"): SECRET}, {"nps": 2})
    assert SECRET.decode() not in repr(force)
    row = await database.fetchrow("SELECT sealed FROM radius_pool_secret")
    assert row is not None
    assert SECRET not in row["sealed"]
    told = [bytes(row["payload"]) for row in await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")]
    assert [json.loads(one)["kind"] for one in told] == ["proxy.applied", "proxy.secret_changed"]
    assert all(SECRET not in one for one in told)


async def test_applying_the_same_again_changes_nothing_and_a_server_that_goes_takes_its_secret_along(
    pools: PoolDesk,
) -> None:
    await pools.apply(parse_proxies(NPS), actor="alice")
    await pools.set_secret("nps", "10.0.0.6:1812", SECRET, actor="alice")
    (again,) = await pools.apply(parse_proxies(NPS), actor="alice")
    assert again.change is Applied.UNCHANGED
    (fewer,) = await pools.apply(parse_proxies(NPS.replace(", {address: '10.0.0.6:1812'}", "")), actor="alice")
    assert fewer.change is Applied.CHANGED
    assert (await pools.in_force()).secrets == {}


async def test_secrets_under_a_key_that_is_gone_leave_the_rest_in_force(
    pools: PoolDesk, database: Database, tmp_path: Path
) -> None:
    await pools.apply(parse_proxies(NPS), actor="alice")
    await pools.set_secret("nps", "10.0.0.5:1812", SECRET, actor="alice")
    other = PoolDesk(database, FakeClock(NOW), SecretBox.at(tmp_path / "other.secret", purpose="proxy"))
    force = await other.in_force()
    assert ([one.name for one in force.pools], force.secrets) == (["nps"], {})


async def test_what_is_wrong_is_refused_and_nothing_written(pools: PoolDesk) -> None:
    await pools.apply(parse_proxies(NPS), actor="alice")
    with pytest.raises(PoolInvalid, match="'nps'"):
        await pools.apply(parse_proxies(NPS.replace("name: nps", "name: other")), actor="alice")
    for server, secret in (("10.0.0.9:1812", SECRET), ("10.0.0.5:1812", b"short")):
        with pytest.raises(ProxyError):
            await pools.set_secret("nps", server, secret, actor="alice")
    await pools.remove("nps", actor="alice")
    with pytest.raises(PoolUnknown):
        await pools.remove("nps", actor="alice")
    assert (await pools.in_force()).pools == ()


async def test_addresses_and_accounts_are_kept_and_no_password_is(lists: ListDesk, database: Database) -> None:
    await lists.add_address("0200.5E10.0001", note="scanner", until=NOW + timedelta(days=1), actor="alice")
    _, password = await lists.add_account("badge", udp=True, note="", until=None, actor="alice")
    found = await lists.lists()
    assert found.address("02-00-5e-10-00-01", NOW) is not None
    assert found.address("02-00-5e-10-00-01", NOW + timedelta(days=1)) is None
    account = found.account("badge", NOW)
    assert account is not None
    assert await Passwords().matches(account.hash, password)
    kept = [bytes(row["payload"]) for row in await database.fetch("SELECT payload FROM ledger_inbox")]
    assert len(kept) == 2
    assert all(password.encode() not in one and account.hash.encode() not in one for one in kept)
    await lists.remove_address("02:00:5e:10:00:01", actor="alice")
    await lists.remove_account("badge", actor="alice")
    assert await lists.lists() == type(found)()


@pytest.mark.parametrize("wrong", ["printer", "01-00-5e-00-00-01", "02-00-5e-10-00-01:ssid", ""])
async def test_what_is_no_devices_address_is_on_no_list(lists: ListDesk, wrong: str) -> None:
    with pytest.raises(MethodError):
        await lists.add_address(wrong, note="x", until=None, actor="alice")


@pytest.mark.parametrize("wrong", ["", "a b", "02005e100001", "alice@corp.test", "x" * 64])
async def test_an_account_is_called_like_no_device_and_nobodys_realm(lists: ListDesk, wrong: str) -> None:
    with pytest.raises(MethodError):
        await lists.add_account(wrong, udp=False, note="", until=None, actor="alice")


async def test_who_was_let_in_by_a_certificate_is_known_in_every_process(database: Database) -> None:
    known = Certified(database)
    known.learn("02-00-5e-10-00-09")
    await known.refresh()
    assert known("02-00-5e-10-00-09")
    assert not known("02-00-5e-10-00-01")


async def test_an_order_of_one_process_goes_down_the_connection_of_another(database: Database) -> None:
    clock, authority = SystemClock(), TinyAuthority()
    orders = ReverseOrders(database, clock)
    async with running(authority) as house, raw(house) as (send, receive):
        desk = asyncio.create_task(ReverseDesk(database, clock, house.server).run())
        order = asyncio.create_task(orders.send("ap-7", Code.DISCONNECT_REQUEST, [(44, b"s1")], seconds=10))
        asked = await receive()
        assert (asked.code, asked.first(44)) == (Code.DISCONNECT_REQUEST, b"s1")
        send(encode_reply(asked, Code.DISCONNECT_NAK, [(101, b"\0\0\x01\xf7")], Protection(b"radsec")))
        reply = await order
        assert (reply.code, reply.first(101)) == (Code.DISCONNECT_NAK, b"\0\0\x01\xf7")
        with pytest.raises(ExchangeFailed, match="not_connected"):
            await orders.send("ap-8", Code.DISCONNECT_REQUEST, [(44, b"s1")], seconds=0.2)
        desk.cancel()
        await asyncio.gather(desk, return_exceptions=True)
    assert await database.fetchval("SELECT count(*) FROM radius_reverse") == 0
