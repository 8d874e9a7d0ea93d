"""Others' revocation lists, fetched by the worker: what is asked for, what is believed, and when it is asked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.radius.admission.partner import ANCHOR, BELOW, crl
from tests.unit.radius.admission.world import AT
from troth.kit.clock import FakeClock
from troth.kit.http import Answer, HttpClient
from troth.kit.settings import EgressSettings
from troth.pki.anchor_store import ADD_ANCHOR
from troth.radius.admission import network_store, source_store
from troth.radius.admission.document import NetworkDefinition, parse_networks
from troth.radius.admission.errors import NetworkInvalid
from troth.radius.admission.fetching import ListFetcher
from troth.radius.admission.lists import ForeignLists
from troth.radius.admission.source_store import Source
from troth.store.pool import Database
from troth.store.unit import Unit

URL = "http://crl.partner.example/root.crl"
_NETWORK = """
networks:
  - name: partners
    match: {{ssids: [Partners]}}
    anchors: [Partner Root]
    foreign:
      policy: client-device
      identity: [email]
      kind: user
      {crls}
    places: {{allow: guests}}
"""


def network(crls: str) -> NetworkDefinition:
    return parse_networks(_NETWORK.format(crls=crls))[0]


@dataclass
class Server:
    """Answers by address, and remembers what it was asked with."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        assert (method, body) == ("GET", b"")
        self.asked.append((url, dict(headers or {})))
        return self.answers.get(url, Answer(404, {}, b""))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AT)


@dataclass
class House:
    database: Database
    clock: FakeClock
    server: Server
    fetcher: ListFetcher
    lists: ForeignLists

    async def serve(self, body: bytes, *, url: str = URL, **headers: str) -> Source:
        """Give ``body``, look when it is due, and come back with how it went."""
        self.server.answers[url] = Answer(200, {name.replace("_", "-"): value for name, value in headers.items()}, body)
        return await self.look(url)

    async def look(self, url: str = URL) -> Source:
        await self.lists.hurry()
        await self.fetcher.run_once()
        return await self.source(url)

    async def source(self, url: str = URL) -> Source:
        [found] = [one for one in await self.lists.sources() if one.url == url]
        return found

    async def number(self) -> int:
        [held] = await self.lists.all()
        return held.number


@pytest.fixture
async def house(database: Database, clock: FakeClock) -> House:
    server = Server()
    unit = Unit().claim(
        ADD_ANCHOR, ANCHOR.sha256, ANCHOR.name, ANCHOR.certificate, '["clientAuth"]', ANCHOR.not_after, AT, "admin:a",
        refuse=AssertionError(),
    )  # fmt: skip
    network_store.create(unit, network(f"crls: [{{url: {URL}}}]"), at=AT, actor="admin:a", refuse=AssertionError())
    await database.commit(unit)
    return House(database, clock, server, ListFetcher(database, clock, server), ForeignLists(database, clock))


async def test_a_list_is_fetched_taken_and_not_sent_twice(house: House) -> None:
    source = await house.serve(crl(5), etag='"one"', last_modified="Tue, 01 Dec 2026 09:00:00 GMT")
    assert (source.failures, source.error, source.checked_at) == (0, "", AT)
    [held] = await house.lists.all()
    assert (held.anchor, held.number, held.entries, held.actor) == ("Partner Root", 1, 1, "system:radius")
    assert timedelta(minutes=54) <= source.due - AT <= timedelta(hours=1)
    await house.fetcher.run_once()
    assert len(house.server.asked) == 1, "what is not due is not asked for"
    house.server.answers[URL] = Answer(304, {}, b"")
    house.clock.advance(timedelta(hours=2))
    await house.fetcher.run_once()
    asked = {"if-none-match": '"one"', "if-modified-since": "Tue, 01 Dec 2026 09:00:00 GMT"}
    assert house.server.asked[-1] == (URL, asked)
    assert (await house.source()).checked_at == AT + timedelta(hours=2)
    # Of a server without entity tags the same list comes again: that is no failure and no event.
    await house.serve(crl(5))
    told = [row["payload"] for row in await house.database.fetch("SELECT payload FROM ledger_inbox")]
    assert sum(b"network.crl_taken" in one for one in told) == 1
    assert (await house.source()).failures == 0
    # It is asked sooner when the list ends sooner.
    soon = await house.serve(crl(5, number=2, ends=house.clock.now() + timedelta(minutes=30)))
    assert soon.due - house.clock.now() <= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(200, {}, crl(number=3)), "number 4 is in force"),
        (Answer(200, {}, crl(number=4, begins=AT - timedelta(hours=2))), "number 4 is in force"),
        (Answer(200, {}, crl(number=9, delta=True)), "covers only some"),
        (Answer(200, {}, crl(number=9, ends=AT - timedelta(minutes=1))), "has ended"),
        (Answer(200, {}, crl(number=9, issuer=BELOW)), "was issued by"),
        (Answer(200, {}, b"<html>"), "no revocation list"),
        (Answer(302, {"location": "http://169.254.169.254/"}, b""), "answered 302"),
        (Answer(304, {}, b""), "answered 304"),
    ],
)
async def test_what_is_no_newer_list_leaves_the_one_in_force(house: House, answer: Answer, why: str) -> None:
    await house.serve(crl(5, number=4))
    house.server.answers[URL] = answer
    source = await house.look()
    assert why in source.error
    assert source.failures == 1
    assert await house.number() == 4


async def test_what_fails_is_asked_more_and_more_rarely_and_mends_by_itself(house: House) -> None:
    pauses = []
    for _ in range(8):
        await house.fetcher.run_once()
        source = await house.source()
        pauses.append((source.due - house.clock.now()) / timedelta(minutes=1))
        house.clock.advance(source.due - house.clock.now())
    assert pauses[0] <= 1.0
    assert all(0.9 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:6]))
    assert 54 <= pauses[7] <= 60
    mended = await house.serve(crl(number=1, begins=house.clock.now() - timedelta(hours=1)))
    assert (mended.failures, mended.error) == (0, "")


async def test_a_list_of_an_authority_below_the_anchor_needs_its_certificate(house: House) -> None:
    url = "http://crl.partner.example/issuing.crl"
    pem = BELOW.public_bytes(Encoding.PEM).decode()
    definition = network(f"crls: [{{url: {url}, issuers: [{pem!r}]}}]".replace("'", '"'))
    unit = Unit()
    network_store.update(unit, definition, at=AT, actor="admin:a")
    await house.database.commit(unit)
    source = await house.serve(crl(issuer=BELOW), url=url)
    assert source.error == ""
    assert [one.url for one in await house.lists.sources()] == [url], "what no network names any more is forgotten"
    assert "Partner Issuing" in (await house.lists.all())[0].issuer_name


async def test_what_certificates_name_is_followed_only_while_a_network_wants_it(house: House) -> None:
    url = "http://crl.partner.example/learned.crl"
    unit = Unit()
    for number in range(source_store.MOST_LEARNED + 5):
        place = url if number == 0 else f"{url}?{number:03}"
        source_store.learn(unit, "Partner Root", place, (), every=timedelta(hours=1), at=AT)
    network_store.update(unit, network("distribution_points: true"), at=AT, actor="admin:a")
    await house.database.commit(unit)
    source = await house.serve(crl(), url=url)
    assert (source.origin, source.error) == ("certificate", "")
    assert len(await house.lists.sources()) == source_store.MOST_LEARNED
    house.clock.advance(timedelta(days=8))
    await house.fetcher.run_once()
    assert [one.url for one in await house.lists.sources()] == [url], "what never gave a list is forgotten"
    unit = Unit()
    network_store.update(unit, network("revocation: open"), at=AT, actor="admin:a")
    await house.database.commit(unit)
    await house.fetcher.run_once()
    assert await house.lists.sources() == []


async def test_only_hosts_on_the_allow_list_are_asked_and_some_addresses_never(house: House, clock: FakeClock) -> None:
    never = ("http://169.254.169.254/x", "http://[::ffff:a9fe:a9fe]/x", "http://2852039166/x", "http://[fe80::1]/x")
    named = ("http://127.0.0.1:1/x.crl", *never)
    http = HttpClient(EgressSettings(plain_http=True, hosts=("127.0.0.1",), networks=("169.254.0.0/16", "::/0")))
    try:
        unit, crls = Unit(), ", ".join(f'{{url: "{url}"}}' for url in named)
        network_store.update(unit, network(f"crls: [{crls}]"), at=AT, actor="admin:a")
        await house.database.commit(unit)
        await ListFetcher(house.database, clock, http).run_once()
    finally:
        await http.close()
    for url in named:
        assert "http.egress_refused" in (await house.source(url)).error, url


async def test_a_redirect_is_no_list_and_followed_by_nobody(house: House) -> None:
    house.server.answers[URL] = Answer(302, {"location": "http://169.254.169.254/"}, b"")
    source = await house.look()
    assert "answered 302 [network.crl_unfetched]" in source.error
    assert [url for url, _ in house.server.asked] == [URL]


@pytest.mark.parametrize(
    ("crls", "field"),
    [
        ('crls: [{url: "ldap://x/y"}]', "crls[0].url"),
        ('crls: [{url: "http://x/y"}, {url: "http://x/y"}]', "crls[1].url"),
        ('crls: [{url: "http://x/y", anchor: Another}]', "crls[0].anchor"),
        ('crls: [{url: "http://x/y", issuers: [nothing]}]', "crls[0].issuers"),
        ("crl_every: 1m", "crl_every"),
        ("crl_every: 3d", "crl_every"),
    ],
)
def test_what_cannot_be_fetched_is_refused_when_it_is_applied(crls: str, field: str) -> None:
    with pytest.raises(NetworkInvalid) as refused:
        network(crls)
    assert field in str(refused.value)
