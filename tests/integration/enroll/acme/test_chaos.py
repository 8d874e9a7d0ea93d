"""Test mode through the door: a client that keeps to RFC 8555 gets its certificate all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.acme_door import BASE, DIRECTORIES, Door, LaneTransport, csr_for
from troth.client.jose import b64url_decode
from troth.enroll.acme.chaos import Chaos
from troth.enroll.acme.directories import Directory
from troth.kit.acme_settings import AcmeTestSettings
from troth.kit.clock import FakeClock


async def test_a_client_that_follows_the_protocol_comes_through(door: Door) -> None:
    chaos = Chaos(AcmeTestSettings(enabled=True, reject_nonces_percent=20, reuse_proofs_percent=0, random_paths=True))
    directories = [Directory(name, (name,)) for name in DIRECTORIES]
    door.desks.orders._chaos = chaos
    door.reopen(None, *directories, chaos=chaos)
    client = await door.client()
    done = await door.issued(client, "a.test")
    assert await client.certificate(done)
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    assert client.directory.new_order.startswith(f"{BASE}/acme/tls-server/t/")
    # What lasts has the URLs it would have anyway, so that an account can be resumed.
    assert client.account_url.startswith(f"{BASE}/acme/tls-server/acct/")
    assert done.url.startswith(f"{BASE}/acme/tls-server/order/")
    again = await door.client(key=client.key)
    assert again.account_url == client.account_url
    assert again.directory.new_order != client.directory.new_order
    assert (await client.new_order([("dns", "a.test")])).status == "pending"  # the proof is not used again
    said = (await door.post(f"{BASE}/acme/tls-server/directory", b"", method="GET"))[1]
    assert [len(b64url_decode(name)) for name, value in said.items() if "no client knows" in str(value)] == [6]


async def test_an_order_is_processing_for_a_while_and_lists_come_in_small_pages(door: Door) -> None:
    clock = FakeClock(datetime.now(UTC))
    settings = AcmeTestSettings(enabled=True, finalize_delay_milliseconds=30_000, orders_per_page=2)
    chaos = Chaos(settings, clock=clock)
    door.desks.orders._chaos = chaos
    door.reopen(None, *(Directory(name, (name,)) for name in DIRECTORIES), chaos=chaos)
    client = await door.client()
    order = await client.finalize(await door.ready(client, "a.test"), csr_for(["a.test"]))
    assert (order.status, order.certificate) == ("processing", "")
    again = await client.order(order.url)
    assert (again.status, again.certificate) == ("processing", "")
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    assert transport.answers[-1].headers["retry-after"]
    clock.advance(timedelta(seconds=31))
    done = await client.order(order.url)
    assert done.status == "valid"
    assert await client.certificate(done)

    made = [order.url, *[(await client.new_order([("dns", f"{name}.test")])).url for name in "bcd"]]
    url, pages = (await client.account()).orders, []
    while url:
        _, said, answer = await door.post(url, door.signed(client, url, b""))
        pages.append(said["orders"])
        url = next(iter(answer.links("next")), "")
    assert pages == [made[:2], made[2:]]


async def test_outside_test_mode_there_are_no_such_paths(door: Door) -> None:
    assert (await door.post(f"{BASE}/acme/tls-server/t/x/new-nonce", b"", method="HEAD"))[0] == 404
