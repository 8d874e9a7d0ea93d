"""newAuthz: names proved before they are ordered (RFC 8555, 7.4.1; RFC 9444)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.enroll.acme.test_enrolments import close, enrolled
from tests.support.acme_door import Door, csr_for
from troth.client.acme import AcmeClient
from troth.client.acme_objects import Authorization
from troth.client.acme_session import AcmeError
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.directories import Directory
from troth.enroll.credentials.model import NameRules
from troth.kit.clock import FakeClock
from troth.kit.ids import parse_id

EARLY = Directory("tls-server", ("tls-server",), pre_authorization=True, subdomains=True)


async def refused(call: Any) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await call
    return caught.value


async def new_authz(client: AcmeClient, kind: str, value: str, **more: object) -> Authorization:
    url = client.directory.new_order.replace("new-order", "new-authz")
    answer = await client.post(url, {"identifier": {"type": kind, "value": value, **more}})
    assert answer.status == 201
    return await client.authorization(answer.header("location") or "")


async def prove(door: Door, client: AcmeClient, authz: Authorization, kind: str = "http-01") -> None:
    challenge = authz.challenge(kind)
    assert challenge is not None
    if kind == "dns-01":
        door.dns.set_txt(f"_acme-challenge.{authz.identifier.value}", client.dns_value(challenge.token))
    door.serve(client, challenge.token)
    await client.answer(challenge)
    assert await door.validate() == 1


async def test_a_name_is_proved_first_and_ordered_later(door: Door) -> None:
    door.reopen(None, EARLY)
    client = await door.client()
    _, said, _ = await door.post(door.directory(), b"", method="GET")
    assert said["newAuthz"].endswith("/acme/tls-server/new-authz")
    authz = await new_authz(client, "dns", "a.test")
    assert authz.status == "pending"
    await prove(door, client, authz)
    assert (await client.authorization(authz.url)).status == "valid"
    order = await client.new_order([("dns", "a.test")])
    assert order.status == "ready"
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"


async def test_what_it_hangs_on_is_no_order_of_anybody(door: Door) -> None:
    door.reopen(None, EARLY)
    client = await door.client()
    await new_authz(client, "dns", "a.test")
    url = (await client.account()).orders
    assert (await door.post(url, door.signed(client, url, b"")))[1] == {"orders": []}
    account = parse_id(client.account_url.rpartition("/")[2])
    assert account is not None
    assert await AccountStore(door.mint.database).orders(account, before=None, limit=9) == []
    hidden = await door.mint.database.fetchval("SELECT id FROM acme_order")
    place = client.directory.new_order.replace("new-order", f"order/{hidden}/finalize")
    error = await refused(client.post(place, {"csr": ""}))
    assert error.problem.short_type in ("orderNotReady", "badCSR", "malformed")
    assert await door.count("certificate") == 0


async def test_a_whole_domain_is_proved_once_for_what_lies_below(door: Door) -> None:
    door.reopen(None, EARLY)
    client = await door.client()
    authz = await new_authz(client, "dns", "shop.test", subdomainAuthAllowed=True)
    url = authz.url
    shown = (await door.post(url, door.signed(client, url, b"")))[1]
    assert shown["subdomainAuthAllowed"] is True
    assert authz.challenge("http-01") is None, "a web server speaks for itself alone"
    await prove(door, client, authz, "dns-01")
    names = ["a.shop.test", "b.c.shop.test", "*.shop.test"]
    order = await client.new_order([("dns", name) for name in names])
    assert order.status == "ready"
    assert (await client.finalize(order, csr_for(names))).status == "valid"
    assert (await client.new_order([("dns", "shop.test.test")])).status == "pending"


async def test_without_the_directory_s_leave_a_proof_is_for_one_name(door: Door) -> None:
    door.reopen(None, replace(EARLY, subdomains=False))
    client = await door.client()
    authz = await new_authz(client, "dns", "shop.test", subdomainAuthAllowed=True)
    await prove(door, client, authz)
    assert (await client.new_order([("dns", "a.shop.test")])).status == "pending"


WRONG: list[tuple[object, str]] = [
    ({"type": "dns", "value": "*.a.test"}, "malformed"),
    ({"type": "dns", "value": "a_b.test"}, "malformed"),
    ({"type": "dns", "value": "a.test", "subdomainAuthAllowed": 1}, "malformed"),
    ({"type": "permanent-identifier", "value": "SN1"}, "unsupportedIdentifier"),
    ({"type": "email", "value": "a@b.test"}, "unsupportedIdentifier"),
    ({"type": "dns"}, "malformed"),
    ("a.test", "malformed"),
    (None, "malformed"),
]


async def test_what_cannot_be_authorized_early_is_refused(door: Door) -> None:
    door.reopen(None, replace(EARLY, identifiers=("dns", "ip", "permanent-identifier")))
    client = await door.client()
    url = client.directory.new_order.replace("new-order", "new-authz")
    for identifier, kind in WRONG:
        error = await refused(client.post(url, {"identifier": identifier}))
        assert error.problem.short_type == kind, identifier
    assert await door.count("acme_authz") == 0


async def test_a_directory_that_offers_none_has_no_such_resource(door: Door) -> None:
    client = await door.client()
    _, said, _ = await door.post(door.directory(), b"", method="GET")
    assert "newAuthz" not in said
    assert (await refused(new_authz(client, "dns", "a.test"))).status == 404


async def test_an_enrolment_limits_and_vouches_here_too(door: Door) -> None:
    door.reopen(None, EARLY)
    client, one = await enrolled(door, vouches=True, rules=NameRules(suffixes=("a.test",)), profiles=("other",))
    assert (await new_authz(client, "dns", "x.a.test")).status == "valid"
    assert (await refused(new_authz(client, "dns", "b.test"))).problem.short_type == "rejectedIdentifier"
    plain, _ = await enrolled(door)
    early = await new_authz(plain, "dns", "b.test")
    assert early.status == "pending"
    await door.enrolling.enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[close])
    assert (await refused(new_authz(client, "dns", "y.a.test"))).status == 401
    await plain.deactivate_authorization(early.url)
    assert (await plain.authorization(early.url)).status == "deactivated"


async def test_a_proof_that_came_early_lasts_as_long_as_any(door: Door, clock: FakeClock) -> None:
    door.reopen(None, EARLY)
    client = await door.client()
    authz = await new_authz(client, "dns", "a.test")
    await prove(door, client, authz)
    clock.advance(timedelta(hours=8))
    assert (await client.new_order([("dns", "a.test")])).status == "pending"
