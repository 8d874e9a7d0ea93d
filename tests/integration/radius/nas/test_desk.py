"""Access servers from their definition to the table that packets are looked up in."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from troth.kit.clock import FakeClock
from troth.kit.sealing import SecretBox
from troth.radius.nas import seen_store
from troth.radius.nas.definition import NasDefinition, RadsecDefinition
from troth.radius.nas.desk import NasDesk
from troth.radius.nas.errors import NasError, NasInvalid, NasUnknown
from troth.radius.nas.loading import NasBook
from troth.radius.nas.model import Nas
from troth.radius.nas.sightings import ELSEWHERE, Sightings
from troth.radius.wire.packet import Code, decode
from troth.radius.wire.signing import encode_request, message_authenticator_ok
from troth.store.pool import Database
from troth.trust.applied import Applied

SWITCHES = NasDefinition("switches", ("10.1.0.0/24",), vendor="cisco-ios-xe")
AP = NasDefinition("ap", ("10.1.0.7/32",), require_message_authenticator="auto")


@dataclass
class World:
    database: Database
    clock: FakeClock
    box: SecretBox
    desk: NasDesk
    book: NasBook

    async def at(self, address: str) -> Nas | None:
        await self.book.refresh()
        return self.book.table.of(address)

    async def events(self) -> list[str]:
        return [json.loads(payload)["kind"] for payload in await self.told()]

    async def told(self) -> list[bytes]:
        return [row["payload"] for row in await self.database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")]


@pytest.fixture
def world(database: Database, clock: FakeClock) -> World:
    box = SecretBox(b"k" * 32, purpose="nas")
    return World(database, clock, box, NasDesk(database, clock, box), NasBook(database, box))


async def test_a_definition_becomes_an_access_server_that_is_answered_once_it_has_a_secret(world: World) -> None:
    applied = await world.desk.apply([SWITCHES, AP], actor="user:a")
    again = await world.desk.apply([SWITCHES, AP], actor="user:a")
    secret = await world.desk.set_secret("switches", actor="user:a")

    assert [(one.change, one.lacks) for one in applied] == [(Applied.CREATED, True)] * 2
    assert [one.change for one in again] == [Applied.UNCHANGED] * 2
    found = await world.at("10.1.0.1")
    assert found is not None
    assert (found.name, found.vendor, found.secrets) == ("switches", "cisco-ios-xe", (secret, None))
    assert len(secret) == 32
    ap = await world.at("10.1.0.7")
    assert ap is not None
    assert (ap.name, ap.secrets) == ("ap", (None, None))
    assert await world.events() == ["nas.applied", "nas.applied", "nas.secret_set"]


async def test_the_secret_is_nowhere_in_the_database_or_the_ledger(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    secret = await world.desk.set_secret("switches", actor="user:a")

    kept = await world.database.fetch("SELECT sealed FROM nas_secret")
    told = await world.told()

    assert kept
    assert all(secret not in row["sealed"] for row in kept)
    assert len(told) == 2
    assert all(secret not in payload for payload in told)


async def test_two_secrets_are_good_while_one_replaces_the_other(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    old = await world.desk.set_secret("switches", actor="user:a")
    new = await world.desk.rotate("switches", actor="user:a")

    during = await world.at("10.1.0.1")
    assert during is not None
    assert during.secrets == (old, new)
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, [(1, b"a")], new))
    assert [message_authenticator_ok(request, one) for one in during.secrets if one] == [False, True]
    with pytest.raises(NasError, match=r"nas\.rotating"):
        await world.desk.rotate("switches", actor="user:a")

    await world.desk.finish("switches", actor="user:a")
    after = await world.at("10.1.0.1")
    assert after is not None
    assert after.secrets == (new, None)
    with pytest.raises(NasError, match="not_rotating"):
        await world.desk.finish("switches", actor="user:a")


async def test_a_rotation_ends_only_when_every_address_that_asks_has_the_new_secret(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    old = await world.desk.set_secret("switches", actor="user:a")
    sightings, addresses = Sightings(world.clock), [f"10.1.0.{number}" for number in range(1, 15)]
    nas = await world.at("10.1.0.1")
    assert nas is not None
    for address in addresses:
        sightings.proved(nas, address, old, signed=True)
    await sightings.flush(world.database)
    new = await world.desk.rotate("switches", actor="user:a")
    nas = await world.at("10.1.0.1")
    assert nas is not None
    world.clock.advance(timedelta(minutes=1))
    for address in addresses[:12]:
        sightings.proved(nas, address, new, signed=True)
    await sightings.flush(world.database)

    seen = (await world.desk.entry("switches")).seen
    assert (seen.moved, seen.proved) == (12, 14)
    with pytest.raises(NasError) as refused:
        await world.desk.finish("switches", actor="user:a")
    assert refused.value.code == "nas.rotation_open"
    assert "10.1.0.13" in refused.value.detail
    assert "10.1.0.14" in refused.value.detail

    world.clock.advance(timedelta(minutes=1))
    for address in addresses[12:]:
        sightings.proved(nas, address, new, signed=True)
    await sightings.flush(world.database)
    await world.desk.finish("switches", actor="user:a")
    after = (await world.desk.entry("switches")).seen
    assert (after.moved, after.proved) == (0, 14)


async def test_what_is_switched_off_does_not_hold_a_rotation_up_for_ever(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    old = await world.desk.set_secret("switches", actor="user:a")
    nas = await world.at("10.1.0.1")
    assert nas is not None
    sightings = Sightings(world.clock)
    sightings.proved(nas, "10.1.0.1", old, signed=True)
    await sightings.flush(world.database)
    await world.desk.rotate("switches", actor="user:a")

    with pytest.raises(NasError, match="rotation_open"):
        await world.desk.finish("switches", actor="user:a")
    await world.desk.finish("switches", actor="user:a", force=True)
    assert (await world.events())[-1] == "nas.rotation_finished"


async def test_a_rotation_can_be_given_up_and_a_leaked_secret_goes_at_once(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    old = await world.desk.set_secret("switches", actor="user:a")
    await world.desk.rotate("switches", actor="user:a")
    await world.desk.abandon("switches", actor="user:a")

    kept = await world.at("10.1.0.1")
    assert kept is not None
    assert kept.secrets == (old, None)
    await world.desk.rotate("switches", actor="user:a")
    new = await world.desk.set_secret("switches", actor="user:a", secret=b"one-that-somebody-brings\n")
    replaced = await world.at("10.1.0.1")
    assert replaced is not None
    assert replaced.secrets == (new, None) == (b"one-that-somebody-brings", None)


@pytest.mark.parametrize(
    "secret", [b"short", bytes(range(0x21, 0x7F)) * 2, b"with spaces in it, many", b"a" * 18, b"abcdefghijkl\0" * 2]
)
async def test_a_secret_that_can_be_guessed_or_typed_nowhere_is_refused(world: World, secret: bytes) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")

    with pytest.raises(NasError) as refused:
        await world.desk.set_secret("switches", actor="user:a", secret=secret)

    assert refused.value.code == "nas.secret"
    assert secret.decode("latin-1") not in refused.value.detail


async def test_coa_may_have_a_secret_of_its_own(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    await world.desk.set_secret("switches", actor="user:a")
    coa = await world.desk.set_secret("switches", actor="user:a", coa=True)

    found = await world.at("10.1.0.1")

    assert found is not None
    assert found.coa_secrets == (coa,)


async def test_a_rotation_needs_a_secret_to_begin_with(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")

    with pytest.raises(NasError, match="secret_missing"):
        await world.desk.rotate("switches", actor="user:a")
    with pytest.raises(NasError, match="not_rotating"):
        await world.desk.abandon("switches", actor="user:a")
    with pytest.raises(NasUnknown):
        await world.desk.rotate("nobody", actor="user:a")
    with pytest.raises(NasUnknown):
        await world.desk.set_secret("no/body", actor="user:a")


async def test_a_retired_one_is_nobody_and_its_secret_is_gone(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    await world.desk.set_secret("switches", actor="user:a")
    await world.desk.retire("switches", reason="sold", actor="user:a")

    assert await world.at("10.1.0.1") is None
    entry = await world.desk.entry("switches")
    assert (entry.stored.reason, entry.secrets) == ("sold", {})
    # Its prefix is free again, and applied once more it begins without a secret.
    await world.desk.apply([msgspec.structs.replace(AP, addresses=SWITCHES.addresses)], actor="user:a")
    with pytest.raises(NasInvalid):
        await world.desk.apply([SWITCHES], actor="user:a")
    await world.desk.remove("ap", actor="user:a")
    (again,) = await world.desk.apply([SWITCHES], actor="user:a")
    assert (again.change, again.lacks) == (Applied.CHANGED, True)


async def test_one_that_is_removed_and_made_again_is_read_anew(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    assert await world.at("10.1.0.1") is not None
    await world.desk.remove("switches", actor="user:a")
    await world.desk.apply([msgspec.structs.replace(SWITCHES, addresses=("10.2.0.0/24",))], actor="user:a")

    assert await world.at("10.1.0.1") is None
    assert await world.at("10.2.0.1") is not None
    assert not await world.book.refresh()


async def test_two_may_not_share_a_prefix(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")

    with pytest.raises(NasInvalid, match="already"):
        await world.desk.apply([msgspec.structs.replace(AP, addresses=SWITCHES.addresses)], actor="user:a")
    desk = NasDesk(world.database, world.clock, world.box, vendors=frozenset({"generic"}))
    with pytest.raises(NasInvalid, match="vendor"):
        await desk.apply([SWITCHES], actor="user:a")


async def test_one_over_tls_alone_lacks_nothing(world: World) -> None:
    only = NasDefinition(
        "secure", ("10.9.0.0/24",), radsec=RadsecDefinition(("dns:a.example",), ("10.9.0.0/24",), only=True)
    )

    (applied,) = await world.desk.apply([only], actor="user:a")

    assert not applied.lacks
    assert await world.at("10.9.0.1") is None
    named = world.book.table.named("secure")
    assert named is not None
    assert named.protected
    assert named.radsec is not None
    assert named.radsec.names == ("dns:a.example",)


async def test_a_secret_under_another_key_leaves_out_its_access_server_alone(world: World) -> None:
    other = NasDesk(world.database, world.clock, SecretBox(b"o" * 32, purpose="nas"))
    await world.desk.apply([SWITCHES, AP], actor="user:a")
    await world.desk.set_secret("switches", actor="user:a")
    await other.set_secret("ap", actor="user:a")

    assert (await world.at("10.1.0.1")) is not None
    assert "ap" not in world.book.table.entries


async def test_what_is_seen_is_counted_in_memory_and_written_down_together(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    secret = await world.desk.set_secret("switches", actor="user:a")
    nas = await world.at("10.1.0.1")
    assert nas is not None
    sightings = Sightings(world.clock)
    for _ in range(3):
        sightings.proved(nas, "10.1.0.1", secret, signed=False)
    sightings.wrong(nas, "10.1.0.2")
    sightings.unsigned(nas, "10.1.0.3")

    assert await sightings.flush(world.database) == 3
    assert await sightings.flush(world.database) == 0
    sightings.wrong(nas, "10.1.0.2")
    await sightings.flush(world.database)

    found = {one.address: one for one in await world.desk.addresses("switches")}
    assert (found["10.1.0.1"].unsigned, found["10.1.0.2"].wrong, found["10.1.0.3"].unsigned) == (3, 2, 1)
    summary = (await world.desk.entry("switches")).seen
    assert (summary.addresses, summary.unsigned, summary.wrong, summary.proved) == (3, 2, 1, 1)
    world.clock.advance(timedelta(days=8))
    later = (await world.desk.entry("switches")).seen
    assert (later.addresses, later.unsigned, later.wrong) == (3, 0, 0)
    world.clock.advance(timedelta(days=30))
    await sightings.flush(world.database)
    assert await world.database.fetchval("SELECT count(*) FROM nas_seen") == 0


async def test_addresses_that_somebody_makes_up_do_not_fill_the_table(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    nas = await world.at("10.1.0.1")
    assert nas is not None
    sightings = Sightings(world.clock)
    for number in range(200):
        sightings.wrong(nas, f"10.1.0.{number}")
    await sightings.flush(world.database)

    found = {one.address: one.wrong for one in await world.desk.addresses("switches")}
    assert len(found) == 65
    assert found[ELSEWHERE] == 200 - 64


async def test_what_was_counted_is_kept_when_the_database_does_not_answer(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    nas = await world.at("10.1.0.1")
    assert nas is not None
    sightings = Sightings(world.clock)
    await sightings.flush(world.database)
    sightings.wrong(nas, "10.1.0.2")
    task = asyncio.ensure_future(sightings.flush(world.database))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    sightings.wrong(nas, "10.1.0.2")
    await sightings.flush(world.database)

    found = await seen_store.of(world.database, "switches", now=world.clock.now(), limit=9)
    assert [one.wrong >= 2 for one in found] == [True]


async def test_one_that_was_seen_to_sign_must_sign_from_then_on_in_every_process(world: World) -> None:
    await world.desk.apply([AP], actor="user:a")
    nas = await world.at("10.1.0.7")
    assert nas is not None
    assert not nas.signs
    one, other = Sightings(world.clock), Sightings(world.clock)
    for sightings in (one, other):
        sightings.signs(nas)
        await sightings.flush(world.database)

    learnt = await world.at("10.1.0.7")
    assert learnt is not None
    assert learnt.signs
    assert (await world.events()).count("nas.signs") == 1


async def test_two_people_at_once_do_not_overtake_each_other(world: World) -> None:
    await world.desk.apply([SWITCHES], actor="user:a")
    made = await asyncio.gather(*(world.desk.set_secret("switches", actor=f"user:{who}") for who in "ab"))

    found = await world.at("10.1.0.1")
    assert found is not None
    assert found.secrets[0] in made
    stored = (await world.desk.entry("switches")).stored
    assert stored.version == 3
