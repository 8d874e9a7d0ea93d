"""What real clients trip over, each as one promise about the bytes that leave the door."""

from __future__ import annotations

import asyncio
import re

from tests.support.acme_door import BASE, Door, LaneTransport, csr_for
from troth.client.transport import HttpAnswer

DIRECTORY = f"{BASE}/acme/tls-server"


def headers_of(answer: HttpAnswer, name: str) -> tuple[str, ...]:
    return tuple(answer.headers.get(name, ()))


async def test_every_answer_of_a_walk_says_each_thing_once(door: Door) -> None:
    # acme.sh splits headers on commas and takes the last Location; python-acme and certbot want one nonce.
    client = await door.client()
    done = await door.issued(client, "a.test", "*.a.test")
    await client.certificate(done)
    await client.order(done.url)
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    for answer in transport.answers:
        for name in ("replay-nonce", "location", "content-type", "cache-control", "retry-after"):
            assert len(headers_of(answer, name)) <= 1, (answer.url, name)
        assert not any("," in one for one in headers_of(answer, "location"))


async def test_json_is_one_line_without_escaped_slashes_and_lists_of_urls_are_flat(door: Door) -> None:
    # acme.sh and dehydrated read JSON with regular expressions.
    client = await door.client()
    order = await door.ready(client, "a.test", "b.test")
    for url in (order.url, order.authorizations[0], client.account_url):
        _, _, answer = await door.post(url, door.signed(client, url, b""))
        text = answer.body.decode()
        assert "\n" not in text
        assert "\\/" not in text
        assert '": ' not in text
    _, _, answer = await door.post(order.url, door.signed(client, order.url, b""))
    listed = re.search(r'"authorizations":\[([^]]*)\]', answer.body.decode())
    assert listed is not None
    assert listed[1].count("https://") == 2
    assert "{" not in listed[1]


async def test_a_nonce_is_had_by_head_and_by_get(door: Door) -> None:
    # dehydrated asks by HEAD before each of its requests.
    for method, status in (("HEAD", 200), ("GET", 204)):
        got, _, answer = await door.post(f"{DIRECTORY}/new-nonce", b"", method=method)
        assert got == status
        assert answer.body == b""
        assert headers_of(answer, "cache-control") == ("no-store",)
        assert len(headers_of(answer, "replay-nonce")) == 1


async def test_a_challenge_links_up_to_its_authorization(door: Door) -> None:
    # python-acme raises without it.
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    for payload in (b"", {}):
        url = authz.challenges[0].url
        _, _, answer = await door.post(url, door.signed(client, url, payload))
        assert f'<{authz.url}>;rel="up"' in headers_of(answer, "link")


async def test_a_challenge_under_way_says_when_to_look_again(door: Door) -> None:
    # lego and Traefik poll every five seconds unless told otherwise.
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    [challenge] = [
        one for one in (await client.authorization(order.authorizations[0])).challenges if "http" in one.type
    ]
    status, said, answer = await door.post(challenge.url, door.signed(client, challenge.url, {}))
    assert (status, said["status"], headers_of(answer, "retry-after")) == (200, "processing", ("1",))


async def test_a_proof_that_is_used_again_shows_the_challenge_that_proved_it(door: Door) -> None:
    # acme.sh refuses a wildcard whose authorization shows none.
    client = await door.client()
    await door.ready(client, "*.a.test", "a.test")
    again = await client.new_order([("dns", "*.a.test"), ("dns", "a.test")])
    assert again.status == "ready"
    for url in again.authorizations:
        authz = await client.authorization(url)
        assert authz.status == "valid"
        [shown] = authz.challenges
        assert shown.status == "valid"
        assert not authz.wildcard or shown.type == "dns-01"


async def test_every_reading_of_an_order_is_the_whole_order_with_its_location(door: Door) -> None:
    # Posh-ACME needs finalize on every read; acme.sh and mod_md look for Location at finalize.
    client = await door.client()
    order = await door.ready(client, "a.test")
    csr = csr_for(["a.test"])
    await client.finalize(order, csr)
    again = await client.finalize(order, csr)  # cert-manager repeats itself, and takes a refusal for the end
    assert again.status == "valid"
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    told = [answer for answer in transport.answers if "/order/" in answer.url]
    assert len(told) >= 3
    for answer in told:
        assert headers_of(answer, "location") == (order.url,)
        for member in (b'"status":', b'"finalize":', b'"identifiers":', b'"authorizations":', b'"expires":'):
            assert member in answer.body


async def test_the_word_location_stands_in_one_header_alone(door: Door) -> None:
    # getssl 2.51: `grep -i location` over all headers is its order's URL, whichever header that is.
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    told = [name for name, value in transport.answers[-1].headers.items() if "location" in f"{name}{value}".lower()]
    assert told == ["location"]
    assert headers_of(transport.answers[-1], "location") == (order.url,)


async def test_two_identical_orders_at_once_are_both_had_and_finalized(door: Door) -> None:
    # cert-manager and Traefik place the same order twice where two of them run.
    client = await door.client()
    one, other = await asyncio.gather(*[client.new_order([("dns", "a.test")]) for _ in range(2)])
    csr = csr_for(["a.test"])
    certificates = set()
    for order in (one, other):
        done = await client.finalize(await door.prove(client, order), csr)
        assert done.status == "valid"
        certificates.add(done.certificate)
    assert len(certificates) == 2


async def test_refusals_are_problem_documents_whatever_was_sent(door: Door) -> None:
    # certbot gives up on an error whose body is no JSON.
    tries = [("/nowhere", "GET"), ("/new-order", "GET"), ("/new-order", "POST"), ("/renewal-info/x", "GET")]
    for path, method in tries:
        status, said, answer = await door.post(f"{DIRECTORY}{path}", b"{", method=method)
        assert status >= 400
        assert headers_of(answer, "content-type") == ("application/problem+json",)
        assert said["type"].startswith("urn:ietf:params:acme:error:")
        if status == 405:
            assert headers_of(answer, "allow")


async def test_a_bad_nonce_comes_with_a_good_one(door: Door) -> None:
    client = await door.client()
    url = client.directory.new_order
    spent = door.nonces.issue()
    assert door.nonces.consume(spent)
    status, said, answer = await door.post(url, door.signed(client, url, {}, nonce=spent))
    assert (status, said["type"].rpartition(":")[2]) == (400, "badNonce")
    assert door.nonces.consume(headers_of(answer, "replay-nonce")[0])
