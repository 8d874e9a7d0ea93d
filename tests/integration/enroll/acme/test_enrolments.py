"""Enrolments at the ACME door: who may open accounts, what they may order, and what ends with an enrolment."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.acme_door import BASE, Door, LaneTransport, Lines, csr_for
from troth.client.acme import AcmeClient, ExternalBinding
from troth.client.acme_session import AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.account_store import CLOSE_ENROLLED
from troth.enroll.acme.closing import REVOKE_JOB, Closer
from troth.enroll.acme.directories import Directory
from troth.enroll.credentials.model import NameRules, Wanted
from troth.enroll.credentials.service import Made
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.jobs import JobQueue
from troth.store.unit import Unit
from troth.trust.model import Kind, Subject
from troth.trust.subjects.whom import add_fresh

SERVERS = Directory("tls-server", ("tls-server",))
BOUND = replace(SERVERS, requires="external-account")
SECRET = replace(SERVERS, requires="enrolment")


async def made(door: Door, kind: str = "external-account", **more: Any) -> Made:
    wanted = Wanted(kind=kind, name="web", **{"seconds": 3600} | more)  # type: ignore[arg-type]
    return await door.enrolling.enrolments.create(wanted, by="admin:alice")


async def opened(door: Door, directory: str = "", key: SigningKey | None = None) -> AcmeClient:
    """A client without an account yet."""
    url = directory or door.directory()
    return await AcmeClient.open(url, key=key or SigningKey.generate(), transport=LaneTransport(door.lane))


def bound(one: Made, algorithm: str = "HS256") -> ExternalBinding:
    return ExternalBinding(str(one.enrolment.id), one.secret, algorithm)


async def enrolled(door: Door, **more: Any) -> tuple[AcmeClient, Made]:
    one = await made(door, **more)
    client = await opened(door)
    await client.register(binding=bound(one))
    return client, one


async def refused(call: Any) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await call
    return caught.value


def close(unit: Unit, enrolment: Any, _by: str) -> Unit:
    return unit.write(CLOSE_ENROLLED, enrolment)


# --- external account bindings ------------------------------------------------------------------------------------


async def test_a_binding_opens_an_account_and_is_remembered(door: Door) -> None:
    door.reopen(None, BOUND)
    one = await made(door)
    for algorithm in ("HS256", "HS384", "HS512"):
        client = await opened(door)
        assert client.directory.meta.external_account_required
        assert (await client.register(binding=bound(one, algorithm))).created
    kept = await door.mint.database.fetch("SELECT enrolment_id, enrolment_kind FROM acme_account")
    assert [tuple(row) for row in kept] == [(one.enrolment.id, "external-account")] * 3
    assert "enrolment.created" in await door.events()


async def test_without_a_binding_there_is_no_account_where_one_is_needed(door: Door) -> None:
    door.reopen(None, BOUND)
    error = await refused((await opened(door)).register())
    assert (error.status, error.problem.short_type) == (403, "externalAccountRequired")
    assert await door.count("acme_account") == 0


async def test_the_same_key_and_binding_again_give_the_same_account(door: Door, clock: FakeClock) -> None:
    door.reopen(None, BOUND)
    one = await made(door, most_accounts=1)
    key = SigningKey.generate()
    first = await opened(door, key=key)
    await first.register(binding=bound(one))
    clock.advance(timedelta(hours=2))  # and be it used up and expired by then
    again = await opened(door, key=key)
    account = await again.register(binding=bound(one))
    assert not account.created
    assert again.account_url == first.account_url
    assert not (await again.register()).created, "a client that lost its binding, too"


async def test_of_many_who_register_one_key_at_once_all_get_its_one_account(door: Door) -> None:
    door.reopen(None, BOUND)
    one, key = await made(door, most_accounts=1), SigningKey.generate()
    clients = [await opened(door, key=key) for _ in range(8)]
    accounts = await asyncio.gather(*(client.register(binding=bound(one)) for client in clients))
    assert sum(account.created for account in accounts) == 1
    assert len({client.account_url for client in clients}) == 1
    assert (await door.enrolling.enrolments.get(one.enrolment.id)).accounts == 1


async def test_a_binding_that_is_not_believed_opens_nothing(door: Door, clock: FakeClock) -> None:
    door.reopen(None, BOUND, Directory("quarantine", ("quarantine",)))
    one, used, elsewhere = await made(door), await made(door, most_accounts=1), await made(door, directories=("q",))
    await (await opened(door)).register(binding=bound(used))
    wrong = [
        (ExternalBinding("kid-1", one.secret, "HS256"), "not known"),
        (ExternalBinding(str(one.enrolment.id), used.secret, "HS256"), "not known"),
        (bound(used), "all its accounts"),
        (bound(elsewhere), "this directory"),
        (bound(await made(door, "directory")), "not known"),
    ]
    for binding, told in wrong:
        error = await refused((await opened(door)).register(binding=binding))
        assert (error.status, error.problem.short_type) == (403, "unauthorized"), told
        assert told in error.problem.detail
    clock.advance(timedelta(hours=1))
    error = await refused((await opened(door)).register(binding=bound(one)))
    assert (error.problem.short_type, "expired" in error.problem.detail) == ("unauthorized", True)
    assert await door.count("acme_account") == 1


async def test_an_unknown_key_id_and_a_wrong_key_sound_the_same(door: Door) -> None:
    one = await made(door)
    unknown = ExternalBinding(str(new_id()), one.secret, "HS256")
    errors = [
        await refused((await opened(door)).register(binding=binding))
        for binding in (unknown, ExternalBinding(str(one.enrolment.id), "AAAA", "HS256"))
    ]
    assert errors[0].problem == errors[1].problem


async def test_a_wrong_binding_is_refused_where_none_is_needed(door: Door) -> None:
    error = await refused((await opened(door)).register(binding=ExternalBinding("x", "AAAA", "HS256")))
    assert error.problem.short_type == "unauthorized"


async def test_a_malformed_binding_is_malformed(door: Door) -> None:
    client = await opened(door)
    url = client.directory.new_account
    payload = {"externalAccountBinding": {"protected": "e30", "payload": "", "signature": ""}}
    error = await refused(client.post(url, payload, with_key=True))
    assert (error.status, error.problem.short_type) == (400, "malformed")


# --- directories with a secret ------------------------------------------------------------------------------------


def secret_directory(one: Made, name: str = "tls-server") -> str:
    return f"{BASE}/acme/{name}/e/{one.secret}/directory"


async def test_who_knows_the_secret_url_needs_nothing_else(door: Door, logged: Lines) -> None:
    door.reopen(None, SECRET)
    one = await made(door, "directory")
    client = await opened(door, secret_directory(one))
    assert not client.directory.meta.external_account_required
    assert (await client.register()).created
    await door.issued(client, "a.test")
    assert one.secret not in logged.text()
    assert one.secret not in str(await door.mint.database.fetch("SELECT payload FROM ledger_inbox"))


async def test_the_open_url_of_such_a_directory_opens_no_account(door: Door) -> None:
    door.reopen(None, SECRET)
    client = await opened(door)
    assert (await refused(client.register())).problem.short_type == "externalAccountRequired"
    assert (await refused(client.register(binding=bound(await made(door))))).problem.short_type == "unauthorized"


async def test_a_secret_that_is_none_is_no_directory(door: Door) -> None:
    one = await made(door, "directory", directories=("quarantine",))
    for url in (secret_directory(one), f"{BASE}/acme/tls-server/e/{'x' * 43}/directory"):
        assert (await refused(opened(door, url))).status == 404
    assert (await opened(door, secret_directory(one, "quarantine"))).directory


async def test_an_account_is_good_under_its_own_secret_alone(door: Door) -> None:
    one, other = await made(door, "directory"), await made(door, "directory")
    key = SigningKey.generate()
    client = await opened(door, secret_directory(one), key)
    await client.register()
    identifier = client.account_url.rpartition("/")[2]
    for url in (door.directory(), secret_directory(other)):
        stranger = await opened(door, url, key)
        assert (await refused(stranger.register())).status == 409
        stranger.account_url = f"{url.removesuffix('directory')}acct/{identifier}"
        assert (await refused(stranger.account())).problem.short_type == "accountDoesNotExist"
    plain = await door.client()
    inside = await opened(door, secret_directory(one), plain.key)
    assert (await refused(inside.register())).status == 409


async def test_no_object_is_reached_through_another_root(door: Door) -> None:
    one = await made(door, "directory")
    inside, plain = await opened(door, secret_directory(one)), await door.client()
    await inside.register()
    orders = [await client.new_order([("dns", "a.test")]) for client in (inside, plain)]
    root, secret = f"{BASE}/acme/tls-server/", f"{BASE}/acme/tls-server/e/{one.secret}/"
    for client, order in ((inside, orders[1]), (plain, orders[0])):
        for url in (order.url, order.finalize, *order.authorizations):
            for place in (url.replace(secret, root), url.replace(secret, root).replace(root, secret)):
                status, said, _ = await door.post(place, door.signed(client, place, {"csr": "AA"}))
                assert status in (400, 403), place
                assert said["reason"] in ("acme.account.foreign", "acme.jws.malformed")


async def test_a_key_change_tells_no_url_of_another_root(door: Door) -> None:
    one = await made(door, "directory")
    hidden = await opened(door, secret_directory(one))
    await hidden.register()
    plain = await door.client()
    error = await refused(plain.change_key(hidden.key))
    assert error.status == 409
    assert "location" not in error.headers
    other = await door.client()
    error = await refused(plain.change_key(other.key))
    assert error.headers["location"] == (other.account_url,)


# --- what an enrolment allows --------------------------------------------------------------------------------------


async def test_names_outside_the_rules_are_refused_one_by_one(door: Door) -> None:
    client, _ = await enrolled(door, rules=NameRules(suffixes=("a.test",), networks=("192.0.2.0/24",)))
    error = await refused(client.new_order([("dns", "x.a.test"), ("dns", "b.test"), ("ip", "198.51.100.1")]))
    assert error.problem.short_type == "compound"
    assert [(one.short_type, one.identifier and one.identifier.value) for one in error.problem.subproblems] == [
        ("rejectedIdentifier", "b.test"),
        ("rejectedIdentifier", "198.51.100.1"),
    ]
    order = await client.new_order([("dns", "x.a.test")])
    assert order.status == "pending", "allowed is not yet vouched for"


async def test_profiles_outside_the_enrolment_are_refused(door: Door) -> None:
    door.reopen(None, Directory("tls-server", ("tls-server", "quarantine")))
    client, _ = await enrolled(door, profiles=("tls-server",))
    assert (await client.new_order([("dns", "a.test")])).status == "pending"
    error = await refused(client.new_order([("dns", "a.test")], profile="quarantine"))
    assert (error.status, error.problem.short_type) == (403, "unauthorized")


async def test_vouched_names_are_born_valid_and_certified_at_once(door: Door) -> None:
    client, _ = await enrolled(
        door, vouches=True, rules=NameRules(suffixes=("a.test",), networks=("192.0.2.0/24",)), most_orders=None
    )
    names = ["*.a.test", "x.a.test", "192.0.2.1"]
    order = await client.new_order([("ip" if name[0] == "1" else "dns", name) for name in names])
    assert order.status == "ready"
    for url in order.authorizations:
        authz = await client.authorization(url)
        assert authz.status == "valid"
        [shown] = authz.challenges
        assert shown.status == "valid"
        assert shown.type == ("http-01" if authz.identifier.type == "ip" else "dns-01")
    done = await client.finalize(order, csr_for(names))
    assert done.status == "valid"
    assert await door.validate() == 0, "nothing was validated"
    snapshot = await door.mint.database.fetchval(
        "SELECT convert_from(snapshot, 'UTF8') FROM decision ORDER BY id DESC LIMIT 1"
    )
    assert '"enrolment"' in snapshot, "policy sees that nobody answered a challenge"


async def test_an_enrolment_with_a_most_places_no_more_orders(door: Door) -> None:
    client, _ = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)), most_orders=2)
    calls = [client.new_order([("dns", f"n{number}.a.test")]) for number in range(5)]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    lost = [one for one in ended if isinstance(one, AcmeError)]
    assert {(one.status, one.problem.short_type) for one in lost} == {(403, "unauthorized")}
    assert len(lost) == 3
    assert await door.count("acme_order") == 2


async def test_an_enrolment_for_a_device_acts_in_its_name(door: Door) -> None:
    device = Subject(new_id(), Kind.DEVICE, "laptop-1", "directory", fresh=True)
    at = door.mint.clock.now()
    await door.mint.database.commit(add_fresh(Unit(), [device], actor="admin:alice", at=at))
    client, _ = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)), device_id=device.id)
    order = await client.new_order([("dns", "x.a.test")])
    await client.finalize(order, csr_for(["x.a.test"]))
    bound_to = await door.mint.database.fetch("SELECT subject_id FROM certificate_subject")
    assert [row["subject_id"] for row in bound_to] == [device.id]
    await door.mint.database.fetchval("UPDATE subject SET removed_at = now() WHERE id = $1", device.id)
    order = await client.new_order([("dns", "y.a.test")])
    error = await refused(client.finalize(order, csr_for(["y.a.test"])))
    assert (error.status, error.problem.short_type) == (403, "unauthorized")
    assert "directory" in error.problem.detail


async def test_a_server_on_hold_gets_nothing_by_the_account_of_a_device(door: Door) -> None:
    """Who holds a name that the device may order is asked for as well; and the certificate ends with either."""
    database, at = door.mint.database, door.mint.clock.now()
    device = Subject(new_id(), Kind.DEVICE, "laptop-1", "directory", fresh=True)
    server = Subject(new_id(), Kind.WORKLOAD, "x.a.test", "acme", fresh=True)
    await database.commit(add_fresh(Unit(), [device, server], actor="admin:alice", at=at))
    client, _ = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)), device_id=device.id)
    order = await client.new_order([("dns", "x.a.test")])
    await client.finalize(order, csr_for(["x.a.test"]))
    bound_to = await database.fetch("SELECT subject_id, role FROM certificate_subject")
    assert {row["subject_id"]: row["role"] for row in bound_to} == {device.id: "subject", server.id: "name"}
    for standing, told in (("quarantined", 200), ("distrusted", 403)):
        await database.fetchval(
            "UPDATE subject SET standing = $2, standing_version = standing_version + 1 WHERE id = $1",
            server.id, standing,
        )  # fmt: skip
        order = await client.new_order([("dns", "x.a.test")])
        if told == 200:
            await client.finalize(order, csr_for(["x.a.test"]))
        else:
            assert (await refused(client.finalize(order, csr_for(["x.a.test"])))).status == told
    rows = await database.fetch("SELECT profile FROM certificate ORDER BY id")
    assert [row["profile"] for row in rows] == ["tls-server", "quarantine"]


# --- the end of an enrolment ---------------------------------------------------------------------------------------


async def test_revoking_shuts_its_accounts_out_on_the_next_call(door: Door) -> None:
    client, one = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)))
    other, _ = await enrolled(door)
    placed = await client.new_order([("dns", "x.a.test")])
    await door.enrolling.enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[close])
    for call in (
        client.account(), client.new_order([("dns", "x.a.test")]), client.finalize(placed, csr_for(["x.a.test"])),
        client.register(binding=bound(one)),
    ):  # fmt: skip
        error = await refused(call)
        assert (error.status, error.problem.short_type) == (401, "unauthorized")
    assert (await refused((await opened(door)).register(binding=bound(one)))).problem.short_type == "unauthorized"
    assert (await other.account()).status == "valid"
    states = await door.mint.database.fetch("SELECT status FROM acme_order UNION ALL SELECT status FROM acme_authz")
    assert sorted(row["status"] for row in states) == ["deactivated", "invalid"]


async def test_a_revoked_secret_is_no_directory_any_more(door: Door) -> None:
    one = await made(door, "directory")
    client = await opened(door, secret_directory(one))
    await client.register()
    await door.enrolling.enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[close])
    assert (await refused(client.account())).status == 404
    assert (await refused(opened(door, secret_directory(one)))).status == 404


async def test_a_bindings_mac_covers_the_outer_key(door: Door) -> None:
    """Whoever sees a binding on its way cannot use it for a key of his own."""
    door.reopen(None, BOUND)
    one, key, thief = await made(door), SigningKey.generate(), SigningKey.generate()
    honest = await opened(door, key=key)
    url = honest.directory.new_account
    sent: list[dict[str, Any]] = []
    post = honest.post

    async def spied(url: str, payload: Any = None, **more: Any) -> Any:
        sent.append(payload)
        return await post(url, payload, **more)

    honest.post = spied  # type: ignore[method-assign]
    await honest.register(binding=bound(one))
    client = await opened(door, key=thief)
    stolen = {"externalAccountBinding": sent[0]["externalAccountBinding"]}
    error = await refused(client.post(url, stolen, with_key=True))
    assert error.problem.short_type == "malformed"


async def test_a_job_revokes_what_the_accounts_of_an_enrolment_hold(door: Door) -> None:
    client, one = await enrolled(door)
    other = await door.client()
    for number in range(3):
        await door.issued(client, f"n{number}.test")
    await door.issued(other, "other.test")
    database, clock = door.mint.database, door.mint.clock
    closer = Closer(database, clock)
    assert await closer.living("enrolment", one.enrolment.id) == 3
    await door.enrolling.enrolments.revoke(
        one.enrolment.id, by="admin:bob", closing=[closer.enrolled_with_certificates]
    )
    for _ in range(3):
        for job in await JobQueue(database, clock).claim([REVOKE_JOB], lease=timedelta(seconds=60)):
            await closer.run(job)
    rows = await database.fetch("SELECT status, revocation_reason FROM certificate ORDER BY id")
    assert [(row["status"], row["revocation_reason"]) for row in rows] == [("revoked", 9)] * 3 + [("good", None)]
    assert await closer.living("enrolment", one.enrolment.id) == 0
    assert await door.count("job") == 0


async def test_every_row_that_an_enrolment_changes_is_named_in_the_ledger(door: Door) -> None:
    """A restore brings rows back with the events that name them: a closed account must come back closed."""
    one = await made(door, vouches=True, rules=NameRules(suffixes=("a.test",)), most_accounts=2, most_orders=5)
    clients = [await opened(door) for _ in range(2)]
    for client in clients:
        await client.register(binding=bound(one))
    await clients[0].new_order([("dns", "x.a.test")])
    closer = Closer(door.mint.database, door.mint.clock)
    await door.enrolling.enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[closer.enrolled])
    rows = await door.mint.database.fetch(
        "SELECT convert_from(payload, 'UTF8')::jsonb AS e FROM ledger_inbox ORDER BY id"
    )
    events = [(said["kind"], set(said["subjects"])) for row in rows if (said := json.loads(row["e"]))]
    enrolment, accounts = one.enrolment.ref, [f"account:{c.account_url.rpartition('/')[2]}" for c in clients]
    wanted = (
        "enrolment.created",
        "acme.account.created",
        "enrolment.used",
        "acme.accounts.closed",
        "enrolment.revoked",
    )
    found = [(kind, refs) for kind, refs in events if kind in wanted]
    assert found == [
        ("enrolment.created", {enrolment}),
        ("acme.account.created", {enrolment, accounts[0]}),
        ("acme.account.created", {enrolment, accounts[1]}),
        ("enrolment.used", {enrolment}),
        ("enrolment.revoked", {enrolment}),
        ("acme.accounts.closed", {enrolment, *accounts}),
    ]
