"""Certificates of workloads: fetched when somebody waits, renewed at half of their life, gone on the server's word."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.mint import ca_certificate
from tests.support.svids import SvidServer, to_der
from troth.agent.spiffe.messages import X509Svid
from troth.agent.spiffe.settings import WorkloadSettings
from troth.agent.spiffe.svids import Svids
from troth.client.csr import certificate_request
from troth.client.jose import b64url_encode
from troth.kit.clock import FakeClock

SHOP, CART = frozenset({"shop"}), frozenset({"cart"})
SELECTORS = frozenset({"unix:uid:1000"})


class Bench:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.server = SvidServer(clock)
        workloads = (
            WorkloadSettings(name="shop", selectors=("unix:uid:1000",)),
            WorkloadSettings(name="cart", selectors=("unix:uid:1000",), lifetime_seconds=120),
        )
        self.svids = Svids(self.server, clock, workloads, poll=timedelta(seconds=10))
        self.stack = ExitStack()

    def wait_for(self, names: frozenset[str]) -> None:
        self.stack.enter_context(self.svids.watch(names, SELECTORS))

    async def after(self, seconds: float) -> list[X509Svid]:
        self.clock.advance(timedelta(seconds=seconds))
        await self.svids.tick()
        return self.svids.live(SHOP)

    def fetched(self) -> int:
        return sum(path == "/workload/svid" for path, _ in self.server.asked)


@pytest.fixture
def bench(clock: FakeClock) -> Bench:
    return Bench(clock)


async def test_nothing_is_fetched_that_nobody_waits_for(bench: Bench) -> None:
    assert await bench.after(0) == []
    assert bench.server.asked == []


async def test_what_is_waited_for_is_fetched_with_what_was_seen(bench: Bench) -> None:
    news = bench.svids.news
    bench.wait_for(SHOP | CART)
    (svid,) = await bench.after(0)
    assert svid.spiffe_id == "spiffe://corp.example/shop"
    assert svid.trust_domain == "spiffe://corp.example"
    assert news.is_set()
    assert bench.svids.settled(SHOP | CART)
    shop, cart = (payload for _, payload in bench.server.asked)
    assert (shop["selectors"], shop.get("lifetime_seconds")) == (["unix:uid:1000"], None)
    assert cart["lifetime_seconds"] == 120


async def test_it_is_renewed_at_half_of_its_life_under_a_new_key(bench: Bench) -> None:
    bench.wait_for(SHOP)
    (first,) = await bench.after(0)
    assert await bench.after(299) == [first]
    (second,) = await bench.after(1)
    assert second.chain != first.chain
    assert second.key != first.key


async def test_while_the_server_is_away_the_old_one_serves_until_its_end(bench: Bench) -> None:
    bench.wait_for(SHOP)
    (first,) = await bench.after(0)
    bench.server.fail = True
    for _ in range(9):
        assert await bench.after(60) == [first]
    assert await bench.after(60) == []
    assert "no answer" in bench.svids.failure(SHOP)
    assert not bench.svids.refused(SHOP)
    bench.server.fail = False
    (second,) = await bench.after(60)
    assert second != first


async def test_pauses_after_failures_grow_to_a_minute(bench: Bench) -> None:
    bench.server.fail = True
    bench.wait_for(SHOP)
    await bench.after(0)
    times = []
    for second in range(1, 200):
        before = bench.fetched()
        await bench.after(1)
        if bench.fetched() > before:
            times.append(second)
    assert times == [1, 3, 7, 15, 31, 63, 123, 183]


async def test_a_clock_that_is_set_back_stops_nothing(bench: Bench) -> None:
    bench.server.fail = True
    bench.wait_for(SHOP)
    await bench.after(0)
    bench.server.fail = False
    bench.clock.set_wall(bench.clock.now() - timedelta(days=30))
    assert await bench.after(1)


async def test_a_clock_that_jumps_forward_ends_what_is_there(bench: Bench) -> None:
    bench.wait_for(SHOP)
    await bench.after(0)
    bench.server.fail = True
    assert await bench.after(86_400) == []


async def test_what_the_server_ends_is_ended_and_asked_for_again(bench: Bench) -> None:
    bench.wait_for(SHOP | CART)
    await bench.after(0)
    asked = next(payload for path, payload in bench.server.asked if path == "/workload/svid")
    assert asked["workload"] == "shop"
    (shop_digest,) = [one.live.sha256 for name, one in bench.svids._workloads.items() if name == "shop" and one.live]
    bench.server.ended = [shop_digest]
    bench.server.refuse = {"shop": "enroll.refused"}
    assert await bench.after(10) == []
    assert bench.svids.refused(SHOP)
    assert not bench.svids.refused(SHOP | CART)
    assert len(bench.svids.live(SHOP | CART)) == 1
    bench.server.refuse = {}
    assert await bench.after(15)  # it may have been mended


async def test_an_agent_that_is_not_heard_any_more_ends_all(bench: Bench) -> None:
    bench.wait_for(SHOP | CART)
    await bench.after(0)
    bench.server.refuse = {"/workload/standing": "workload.node.not_good", "/workload/svid": "workload.node.not_good"}
    await bench.after(10)
    assert bench.svids.live(SHOP | CART) == []
    assert bench.svids.refused(SHOP | CART)


async def test_a_request_that_the_server_does_not_understand_ends_nothing(bench: Bench) -> None:
    bench.wait_for(SHOP)
    (first,) = await bench.after(0)
    bench.server.refuse = {"/workload/standing": "workload.request", "/workload/svid": "acme.jws.signature"}
    bench.server.status = 400
    assert await bench.after(310) == [first]
    assert not bench.svids.refused(SHOP)
    assert "acme.jws.signature" in bench.svids.failure(SHOP)


async def test_new_roots_reach_those_who_wait_without_a_new_certificate(bench: Bench) -> None:
    bench.wait_for(SHOP)
    (first,) = await bench.after(0)
    key = ec.generate_private_key(ec.SECP256R1())
    bench.server.roots.append(to_der(ca_certificate(key, "Next Root", bench.clock.now())))
    news = bench.svids.news
    (second,) = await bench.after(10)
    assert news.is_set()
    assert (second.chain, second.key) == (first.chain, first.key)
    assert second.roots == tuple(bench.server.roots)


async def test_a_refusal_is_kept_for_its_time_when_nobody_waits(bench: Bench) -> None:
    bench.server.refuse = {"shop": "enroll.refused"}
    with bench.svids.watch(SHOP, SELECTORS):
        await bench.after(0)
    for _ in range(5):
        await bench.after(1)
        with bench.svids.watch(SHOP, SELECTORS):
            await bench.after(1)
    assert bench.fetched() == 1
    with bench.svids.watch(SHOP, SELECTORS):
        await bench.after(5)
    assert bench.fetched() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"chain": []},
        {"chain": ["AAAA"]},
        {"chain": "AAAA"},
        {"chain": ["!"]},
        {"roots": []},
        {"roots": None},
        {"chain": None},
    ],
)
async def test_an_answer_that_is_no_svid_is_not_handed_out(bench: Bench, change: dict[str, object]) -> None:
    bench.server.change = change
    bench.wait_for(SHOP)
    assert await bench.after(0) == []
    assert bench.svids.failure(SHOP)


async def test_a_certificate_for_another_key_is_not_handed_out(bench: Bench) -> None:
    csr = b64url_encode(certificate_request(ec.generate_private_key(ec.SECP256R1())))
    other = bench.server.leaf({"workload": "shop", "csr": csr})
    bench.server.change = {"chain": [base64.b64encode(other).decode()]}
    bench.wait_for(SHOP)
    assert await bench.after(0) == []
    assert "no SVID for the key" in bench.svids.failure(SHOP)
    bench.server.change, bench.server.life = {}, timedelta(seconds=-1)
    assert await bench.after(1) == []


async def test_its_state_is_told_without_secrets(bench: Bench) -> None:
    bench.wait_for(SHOP)
    (svid,) = await bench.after(0)
    status = bench.svids.status()
    assert status["shop"] == {
        "watchers": 1, "spiffe_id": svid.spiffe_id, "not_after": "2026-03-02T09:10:00+00:00", "trouble": None,
    }  # fmt: skip
    assert svid.key not in str(status).encode()
