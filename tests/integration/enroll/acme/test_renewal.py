"""Renewal information through the door: who is told what, what replaces what, and early renewals."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.acme_door import BASE, Door, csr_for
from troth.client.acme import AcmeClient, AcmeError
from troth.client.acme_objects import Order
from troth.client.renewal import cert_id, make_cert_id, parse_cert_id
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.incident_store import Selector
from troth.enroll.acme.incidents import SPREAD_JOB, IncidentRefused, Incidents
from troth.enroll.acme.orders import OrderDesk, OrderRules
from troth.enroll.acme.renewal import Renewals
from troth.store.jobs import JobQueue

INFO = f"{BASE}/acme/tls-server/renewal-info"


async def leaf_of(client: AcmeClient, order: Order) -> x509.Certificate:
    return x509.load_pem_x509_certificates(await client.certificate(order))[0]


async def refused(awaitable: object) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_a_client_asks_for_its_window_and_renews_with_replaces(door: Door) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    info = await client.renewal_info(leaf)
    assert info is not None
    assert leaf.not_valid_before_utc < info.start < info.end < leaf.not_valid_after_utc
    assert 19_440 <= info.retry_after <= 23_760
    order = await client.new_order([("dns", "a.test"), ("dns", "b.test")], replaces=cert_id(leaf))
    assert order.replaces == cert_id(leaf)
    assert (await client.order(order.url)).replaces == cert_id(leaf)
    for wanted, status in ((cert_id(leaf), 200), (f"{cert_id(leaf)}x", 400), ("AA.AQ", 404), ("nonsense", 400)):
        got, said, answer = await door.post(f"{INFO}/{wanted}", b"", method="GET")
        assert got == status
        if status == 200:
            assert answer.header("access-control-allow-origin") == "*"
        else:
            assert said["type"] == "urn:ietf:params:acme:error:malformed"
    # Another authority's key identifier with our serial number names nothing of ours.
    _, serial = parse_cert_id(cert_id(leaf))
    assert (await door.post(f"{INFO}/{make_cert_id(b'x' * 20, serial)}", b"", method="GET"))[0] == 404
    assert (await door.post(f"{INFO}/{cert_id(leaf)}", b"{}"))[0] == 405


async def test_one_order_replaces_a_certificate_until_it_comes_to_nothing(door: Door) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    name = cert_id(leaf)
    tried = await asyncio.gather(
        *(client.new_order([("dns", "a.test")], replaces=name) for _ in range(6)), return_exceptions=True
    )
    orders = [one for one in tried if isinstance(one, Order)]
    assert len(orders) == 1
    failed = [one for one in tried if isinstance(one, AcmeError)]
    assert {(one.status, one.problem.short_type) for one in failed} == {(409, "alreadyReplaced")}
    assert len(failed) == 5
    # Given up by its owner: its place is free again, and taken for good by one that is issued.
    await client.deactivate_authorization(orders[0].authorizations[0])
    assert (await client.order(orders[0].url)).status == "invalid"
    again = await client.new_order([("dns", "a.test")], replaces=name)
    again = await client.finalize(await door.prove(client, again), csr_for(["a.test"]))
    assert again.status == "valid"
    error = await refused(client.new_order([("dns", "a.test")], replaces=name))
    assert error.problem.short_type == "alreadyReplaced"


async def test_an_order_that_ran_out_gives_its_place_back(door: Door) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    await client.new_order([("dns", "a.test"), ("dns", "b.test")], replaces=cert_id(leaf))
    door.mint.clock.advance(timedelta(days=8))
    assert (await client.new_order([("dns", "a.test")], replaces=cert_id(leaf))).replaces == cert_id(leaf)


async def test_a_stale_replaces_is_ignored_and_refused_only_where_that_is_asked_for(door: Door) -> None:
    client, stranger = await door.client(), await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    unknown = make_cert_id(b"k" * 20, 77)
    stale = [(client, "b.test", cert_id(leaf)), (stranger, "a.test", cert_id(leaf)), (client, "a.test", unknown)]
    for who, name, replaces in (*stale, (client, "a.test", "nonsense")):
        assert (await who.new_order([("dns", name)], replaces=replaces)).replaces == ""
    database, clock = door.mint.database, door.mint.clock
    strict = Renewals(database, door.mint.catalogue, clock, strict=True)
    door.desks.orders.__init__(database, clock, OrderRules(), door.enrolling.admission, strict)  # type: ignore[misc]
    assert isinstance(door.desks.orders, OrderDesk)
    for who, name, replaces in stale:
        assert (await refused(who.new_order([("dns", name)], replaces=replaces))).status in (400, 404)
    error = await refused(client.new_order([("dns", "a.test")], replaces="nonsense"))
    assert error.problem.reason == "acme.renewal.malformed"


async def test_within_the_window_an_order_is_marked_as_a_renewal(door: Door) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    order = await door.desks.store.order_of_certificate(await door.mint.database.fetchval("SELECT id FROM certificate"))
    assert order is not None
    account = await AccountStore(door.mint.database).account(order.account_id)
    assert account is not None
    early = await door.desks.renewals.replaced(account, cert_id(leaf), order.identifiers)
    assert early is not None
    assert not early.exempt
    door.mint.clock.advance(timedelta(days=25))
    late = await door.desks.renewals.replaced(account, cert_id(leaf), order.identifiers)
    assert late is not None
    assert late.exempt
    # Once: an order that is given up does not open the limits again.
    given_up = await client.new_order([("dns", "a.test"), ("dns", "b.test")], replaces=cert_id(leaf))
    await client.deactivate_authorization(given_up.authorizations[1])
    again = await door.desks.renewals.replaced(account, cert_id(leaf), order.identifiers)
    assert again is not None
    assert not again.exempt


@pytest.mark.parametrize("standing", ["restricted", "quarantined", "distrusted"])
async def test_risk_and_holds_are_never_told_here(door: Door, standing: str) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    before = (await door.post(f"{INFO}/{cert_id(leaf)}", b"", method="GET"))[2].body
    database = door.mint.database
    await database.fetchval(f"UPDATE subject SET standing = '{standing}', standing_version = 9")
    await database.fetchval("UPDATE certificate SET status = 'held', crl_entry = '', status_version = 1")
    assert (await door.post(f"{INFO}/{cert_id(leaf)}", b"", method="GET"))[2].body == before


async def test_a_revoked_certificate_is_to_be_renewed_now(door: Door) -> None:
    client = await door.client()
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    await client.revoke(leaf.public_bytes(Encoding.DER), 4)
    info = await client.renewal_info(leaf)
    assert info is not None
    assert info.end < door.mint.clock.now()


async def test_a_rollover_that_drains_the_authority_pulls_windows_forward(door: Door) -> None:
    client, clock = await door.client(), door.mint.clock
    leaf = await leaf_of(client, await door.issued(client, "a.test"))
    await door.mint.database.fetchval(
        "INSERT INTO rollover (id, outgoing, incoming, stage, threshold, drain_days, started_at, changed_at, renew_by,"
        " actor) VALUES (gen_random_uuid(), 'issuing', 'next', 'drain', 95, 2, $1, $1, $2, 'test')",
        clock.now(), clock.now() + timedelta(days=2),
    )  # fmt: skip
    before = await client.renewal_info(leaf)
    clock.advance(timedelta(days=2))
    after = await client.renewal_info(leaf)
    assert before is not None
    assert after is not None
    assert before.start > clock.now() > after.end


async def _spread(door: Door, incidents: Incidents) -> None:
    queue = JobQueue(door.mint.database, door.mint.clock)
    while due := await queue.claim([SPREAD_JOB], limit=5, lease=timedelta(seconds=60)):
        for job in due:
            await incidents.run(job)


async def test_an_incident_gives_turns_in_pages_and_shows_how_far_it_has_come(door: Door) -> None:
    client, clock = await door.client(), door.mint.clock
    leaves = [await leaf_of(client, await door.issued(client, f"{n}.test")) for n in range(5)]
    incidents = Incidents(door.mint.database, clock, most=10, page=2)
    await client.revoke(leaves[4].public_bytes(Encoding.DER), 4)
    assert await incidents.count(Selector(profile="tls-server")) == 4
    assert await incidents.count(Selector(profile="tls-server", key_algorithm="rsa2048")) == 0
    assert await incidents.count(Selector(key_algorithm="p256", authority="issuing")) == 4
    started = await incidents.start(
        Selector(profile="tls-server"), per_minute=2, note="weak", actor="test", explanation_url="https://a.test/why"
    )
    await _spread(door, incidents)
    one = await incidents.get(started)
    assert (one.state, one.total) == ("running", 4)
    turns = [row["due_at"] for row in await door.mint.database.fetch(
        "SELECT due_at FROM renewal_incident_item ORDER BY certificate_id")]  # fmt: skip
    assert [(at - one.started_at).total_seconds() for at in turns] == [0, 30, 60, 90]
    infos = [await client.renewal_info(leaf) for leaf in leaves[:4]]
    assert [info is not None and info.end < clock.now() for info in infos] == [True, False, False, False]
    assert infos[3] is not None
    assert (infos[3].retry_after, infos[3].explanation_url) == (91, "https://a.test/why")
    clock.advance(timedelta(seconds=61))
    progress = await incidents.progress(started)
    assert (progress.due, progress.renewed) == (3, 0)
    order = await client.new_order([("dns", "0.test")], replaces=cert_id(leaves[0]))
    await client.finalize(order, csr_for(["0.test"]))
    assert (await incidents.progress(started)).renewed == 1
    await door.issued(client, "1.test")  # without a word, as most clients renew
    await door.issued(client, "2.test", "more.2.test")  # another certificate, and not this one anew
    assert (await incidents.progress(started)).renewed == 2
    await incidents.end(started, actor="test", note="over")
    info = await client.renewal_info(leaves[1])
    assert info is not None
    assert info.start > clock.now()
    with pytest.raises(IncidentRefused, match="ended"):
        await incidents.end(started, actor="test", note="")
    assert await door.events("renewal.") == ["renewal.incident_started", "renewal.incident_ended"]


async def test_incidents_share_what_may_be_renewed_in_a_minute_and_hit_nothing_by_mistake(door: Door) -> None:
    incidents = Incidents(door.mint.database, door.mint.clock, most=10)
    every = Selector(profile="tls-server")
    for selector, rate, url in ((Selector(), 1, ""), (every, 0, ""), (every, 11, ""), (every, 1, "http://a/")):
        with pytest.raises(IncidentRefused):
            await incidents.start(selector, per_minute=rate, note="", actor="test", explanation_url=url)
    first = await incidents.start(every, per_minute=7, note="", actor="test")
    tried = await asyncio.gather(
        *(incidents.start(every, per_minute=2, note="", actor="test") for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(one, IncidentRefused) for one in tried) == 2
    await incidents.end(first, actor="test", note="")
    await _spread(door, incidents)
    assert await door.count("renewal_incident_item") == 0
