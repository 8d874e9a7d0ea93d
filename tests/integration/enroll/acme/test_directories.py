"""Directories as the configuration has them: which profiles, names and proofs each offers, and under which root."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.acme_door import BASE, Door, LaneTransport, Lines, csr_for
from troth.client.acme import AcmeClient, AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.directories import Directory
from troth.enroll.credentials.model import Wanted
from troth.pki.profile import shipped_profiles

SERVERS = Directory("servers", ("tls-server", "mutual-tls"), challenges=("dns-01", "http-01"), identifiers=("dns",))


async def two_profiles(door: Door) -> None:
    await door.mint.catalogue.apply_profile(shipped_profiles()["mutual-tls"], actor="test:door")
    door.reopen(None, SERVERS)


async def refused(awaitable: object) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_a_directory_offers_several_profiles_and_takes_the_first_where_none_is_named(door: Door) -> None:
    await two_profiles(door)
    client = await door.client(profile="servers")
    assert set(client.directory.meta.profiles) == {"tls-server", "mutual-tls"}
    assert (await client.new_order([("dns", "a.test")])).profile == "tls-server"
    order = await client.new_order([("dns", "a.test")], profile="mutual-tls")
    assert order.profile == "mutual-tls"
    order = await client.finalize(await door.prove(client, order), csr_for(["a.test"]))
    assert order.status == "valid"
    assert await door.mint.database.fetchval("SELECT profile FROM certificate") == "mutual-tls"
    error = await refused(client.new_order([("dns", "a.test")], profile="wifi-device"))
    assert error.problem.short_type == "invalidProfile"
    assert "tls-server, mutual-tls" in str(error)


async def test_a_profile_withdrawn_between_order_and_finalize_is_not_issued_but_what_was_issued_stays(
    door: Door,
) -> None:
    await two_profiles(door)
    client = await door.client(profile="servers")
    csr = csr_for(["a.test"])
    done = await client.new_order([("dns", "a.test")], profile="mutual-tls")
    done = await client.finalize(await door.prove(client, done), csr)
    waiting = await client.new_order([("dns", "a.test")], profile="mutual-tls")
    assert waiting.status == "ready"
    door.reopen(None, replace(SERVERS, profiles=("tls-server",)))
    client = await door.client(profile="servers", key=client.key)
    error = await refused(client.finalize(waiting, csr_for(["a.test"])))
    assert error.problem.short_type == "invalidProfile"
    assert (await client.order(waiting.url)).status == "ready"
    assert (await client.finalize(done, csr)).status == "valid"  # a repetition, answered as before


async def test_a_directory_whose_profiles_are_not_applied_says_so(door: Door) -> None:
    door.reopen(None, Directory("soon", ("nothing-yet",)))
    client = await door.client(profile="soon")
    assert client.directory.meta.profiles == {}
    assert (await refused(client.new_order([("dns", "a.test")]))).problem.short_type == "invalidProfile"


async def test_types_and_proofs_are_the_directory_s(door: Door) -> None:
    door.reopen(None, SERVERS, replace(SERVERS, name="web", challenges=("http-01",)))
    client = await door.client(profile="servers")
    error = await refused(client.new_order([("ip", "127.0.0.1")]))
    assert error.problem.short_type == "unsupportedIdentifier"
    order = await client.new_order([("dns", "a.test")])
    offered = [one.type for one in (await client.authorization(order.authorizations[0])).challenges]
    assert offered == ["dns-01", "http-01"]
    web = await door.client(profile="web")
    error = await refused(web.new_order([("dns", "*.a.test"), ("dns", "a.test")]))
    assert error.problem.short_type == "rejectedIdentifier"  # nobody could ever prove it
    assert await door.count("acme_order") == 1


async def test_the_same_resources_hang_under_a_root_with_a_secret(door: Door, logged: Lines) -> None:
    made = await door.enrolling.enrolments.create(Wanted(kind="directory", name="one", seconds=60), by="admin:alice")
    root = f"{BASE}/acme/tls-server/e/{made.secret}"
    transport = LaneTransport(door.lane)
    client = await AcmeClient.open(f"{root}/directory", key=SigningKey.generate(), transport=transport)
    await client.register()
    done = await door.issued(client, "a.test")
    told = (client.account_url, done.url, done.finalize, done.certificate, *done.authorizations)
    assert all(url is not None and url.startswith(f"{root}/") for url in told)
    assert await client.certificate(done)
    for answer in transport.answers[1:]:
        assert f'<{root}/directory>;rel="index"' in answer.headers["link"], answer.url
    # The secret stays out of the log, and nothing but a secret comes into a header.
    await refused(client.new_order([("dns", "*")]))
    assert made.secret not in logged.text()
    for wrong in ("", "a%0d%0ab", "x" * 129, "é"):
        _, _, answer = await door.post(f"{BASE}/acme/tls-server/e/{wrong}/new-nonce", b"", method="HEAD")
        assert answer.status == 404
        assert "link" not in answer.headers


@pytest.mark.parametrize("path", ["/acme", "/acme/", "/acme/tls-server", "/acme/tls-server/e", "/acme/none/e/x/y", "/"])
async def test_what_is_no_root_has_no_index(door: Door, path: str) -> None:
    _, _, answer = await door.post(f"{BASE}{path}", b"", method="GET")
    assert answer.status == 404
    assert "none" not in str(answer.headers.get("link"))
