"""Proofs by DNS beyond dns-01, proofs for whole domains, and CAA, through the door against a real DNS server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.acme_door import BASE, Door, csr_for
from troth.client.acme import AcmeClient, AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.attempt_store import AttemptStore
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.prune import Pruner
from troth.enroll.acme.validate.dns_account01 import account_label
from troth.enroll.acme.validate.dns_persist01 import hashed_uri

ISSUER = "ca.test"
EVERY = Directory(
    "every", ("tls-server",), challenges=("http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"),
    subdomains=True, issuers=(ISSUER, "pki.test"),
)  # fmt: skip


async def opened(door: Door, directory: Directory = EVERY) -> AcmeClient:
    door.reopen(None, directory)
    return await door.client(profile=directory.name)


async def refused(awaitable: object) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


def standing(client: AcmeClient, more: str = "") -> str:
    return f"{ISSUER}; accounturi={client.account_url}{more}"


async def test_the_directory_says_what_it_can(door: Door) -> None:
    client = await opened(door)
    said = (await door.post(f"{BASE}/acme/every/directory", b"", method="GET"))[1]["meta"]
    assert said["caaIdentities"] == [ISSUER, "pki.test"]
    assert said["subdomainAuthAllowed"] is True
    order = await client.new_order([("dns", "a.test"), ("ip", "127.0.0.1"), ("dns", "*.a.test")])
    offered = {}
    for url in order.authorizations:
        authz = await client.authorization(url)
        offered[authz.identifier.value, authz.wildcard] = [one.type for one in authz.challenges]
    assert offered["a.test", False] == list(EVERY.challenges)
    assert offered["a.test", True] == ["dns-01", "dns-account-01", "dns-persist-01"]
    assert offered["127.0.0.1", False] == ["http-01", "tls-alpn-01"]


async def test_dns_account_01_is_below_the_account_s_own_label(door: Door) -> None:
    client, other = await opened(door), await door.client(profile="every")
    for who, name, passes in ((client, "a.test", True), (client, "b.test", False)):
        order = await who.new_order([("dns", name)])
        authz = await who.authorization(order.authorizations[0])
        challenge = authz.challenge("dns-account-01")
        assert challenge is not None
        label = account_label((who if passes else other).account_url)
        door.dns.set_txt(f"{label}._acme-challenge.{name}", who.dns_value(challenge.token))
        await who.answer(challenge)
        await door.validate()
        assert (await who.order(order.url)).status == ("ready" if passes else "pending")


async def test_a_standing_record_makes_an_order_ready_at_once(door: Door) -> None:
    client = await opened(door)
    door.dns.set_txt("_validation-persist.a.test", "v=other", standing(client))
    order = await client.new_order([("dns", "a.test")])
    assert order.status == "ready"
    authz = await client.authorization(order.authorizations[0])
    assert [(one.type, one.status) for one in authz.challenges] == [("dns-persist-01", "valid")]
    status, said, _ = await door.post(authz.challenges[0].url, door.signed(client, authz.challenges[0].url, b""))
    assert (status, "token" in said) == (200, False)
    assert said["issuerDomainNames"] == said["issuer-domain-names"] == [ISSUER, "pki.test"]
    assert said["accounturi"] == client.account_url
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"
    # It names one account, and one name: not those of others, and not the wildcard unless it says so.
    stranger = await door.client(profile="every")
    assert (await stranger.new_order([("dns", "a.test")])).status == "pending"
    assert (await client.new_order([("dns", "*.a.test")])).status == "pending"
    door.dns.set_txt("_validation-persist.a.test", standing(client, "; policy=wildcard"))
    assert (await client.new_order([("dns", "*.a.test")])).status == "ready"


async def test_a_record_names_the_account_by_what_the_client_itself_can_compute(door: Door) -> None:
    """draft-ietf-acme-dns-persist-02, 4.1: a hash over name, key and account URL; former keys go on counting."""
    client = await opened(door)
    meta = (await door.post(f"{BASE}/acme/every/directory", b"", method="GET"))[1]["meta"]
    assert meta["issuerDomainNames"] == [ISSUER, "pki.test"]
    prefix = meta["accountHashPrefix"]
    assert prefix == f"{BASE}/acme/every/account-hash/"

    def record(name: str, thumbprint: str, more: str = "", url: str = client.account_url) -> str:
        return f"{ISSUER}; accounturi={hashed_uri(prefix, name, thumbprint, url)}{more}"

    async def proved(name: str, text: str, who: AcmeClient = client) -> bool:
        at = name.removeprefix("*.")
        door.dns.set_txt(f"_validation-persist.{at}", text)
        return (await who.new_order([("dns", name)])).status == "ready"

    first = client.key.public.thumbprint
    assert await proved("a.test", record("a.test", first))
    assert await proved("b.test", record("*", first))  # one for all names, as the client may choose
    assert await proved("*.c.test", record("c.test", first, "; policy=wildcard"))
    assert not await proved("*.d.test", record("d.test", first))
    # Not another name's, not another account's, not another key's, not what is no such hash.
    stranger = await door.client(profile="every")
    for text in (
        record("a.test", first), record("e.test", stranger.key.public.thumbprint),
        record("e.test", first, url=stranger.account_url), record("e.test", first).replace("sha-256", "sha-512"),
        record("e.test", first)[:-1], f"{ISSUER}; accounturi={prefix}",
    ):  # fmt: skip
        assert not await proved("e.test", text), text
    assert not await proved("e.test", record("e.test", first), stranger)
    # A record outlives the key that it was made with, and a new one counts at once.
    await client.change_key(SigningKey.generate())
    second = client.key.public.thumbprint
    assert await proved("f.test", record("f.test", first))
    assert await proved("g.test", record("g.test", second))
    for _ in range(2):
        await client.change_key(SigningKey.generate())
    assert await proved("h.test", record("h.test", first))
    # By answering the challenge, too.
    order = await client.new_order([("dns", "i.test")])
    door.dns.set_txt("_validation-persist.i.test", record("i.test", second))
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("dns-persist-01")
    assert challenge is not None
    await client.answer(challenge)
    await door.validate()
    assert (await client.order(order.url)).status == "ready"


async def test_where_the_directory_wants_hashes_a_url_is_no_name(door: Door) -> None:
    client = await opened(door, replace(EVERY, plain_uris=False))
    door.dns.set_txt("_validation-persist.a.test", standing(client))
    assert (await client.new_order([("dns", "a.test")])).status == "pending"


async def test_a_standing_record_may_be_answered_later_and_holds_as_long_as_it_says(door: Door) -> None:
    client, now = await opened(door), door.mint.clock.now()
    order = await client.new_order([("dns", "a.test")])
    assert order.status == "pending"
    until = int((now + timedelta(hours=1)).timestamp())
    door.dns.set_txt("_validation-persist.a.test", standing(client, f"; persistUntil={until}"))
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("dns-persist-01")
    assert challenge is not None
    await client.answer(challenge)
    await door.validate()
    authz = await client.authorization(authz.url)
    assert authz.status == "valid"
    assert authz.expires == f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"


async def test_a_domain_s_proof_holds_for_the_names_below_it(door: Door) -> None:
    client = await opened(door)
    url = client.directory.new_order

    async def ordered(*names: tuple[str, str]) -> tuple[int, dict[str, object], str]:
        payload = {"identifiers": [
            {"type": "dns", "value": name} | ({"ancestorDomain": above} if above else {}) for name, above in names
        ]}  # fmt: skip
        status, said, answer = await door.post(url, door.signed(client, url, payload))
        return status, said, answer.header("location") or ""

    status, said, where = await ordered(("a.b.test", "b.test"), ("c.b.test", "b.test"), ("*.d.b.test", "b.test"))
    assert (status, len(said["authorizations"])) == (201, 1)  # type: ignore[arg-type]
    (authz_url,) = said["authorizations"]  # type: ignore[misc]
    shown = (await door.post(authz_url, door.signed(client, authz_url, b"")))[1]
    assert (shown["identifier"]["value"], shown["subdomainAuthAllowed"]) == ("b.test", True)
    assert {one["type"] for one in shown["challenges"]} == {"dns-01", "dns-account-01", "dns-persist-01"}
    authz = await client.authorization(authz_url)
    challenge = authz.challenge("dns-01")
    assert challenge is not None
    door.dns.set_txt("_acme-challenge.b.test", client.dns_value(challenge.token))
    await client.answer(challenge)
    await door.validate()
    order = await client.order(where)
    assert order.status == "ready"
    order = await client.finalize(order, csr_for(["a.b.test", "c.b.test", "*.d.b.test"]))
    assert order.status == "valid"
    seen = await door.mint.database.fetchval("SELECT convert_from(snapshot, 'UTF8') FROM decision LIMIT 1")
    assert '"a.b.test"' in seen
    # Held for further names, said or not; not for what lies beside the domain.
    assert (await client.new_order([("dns", "e.b.test"), ("dns", "b.test")])).status == "ready"
    assert (await client.new_order([("dns", "xb.test")])).status == "pending"
    assert (await ordered(("a.b.test", "c.test")))[0] == 400
    assert (await ordered(("a.b.test", "*.b.test")))[0] == 400
    assert (await ordered(("a.b.test", "x.a.b.test")))[0] == 400
    # Given up, it takes what stood on it along.
    ready = await client.new_order([("dns", "f.b.test")])
    await client.deactivate_authorization(ready.authorizations[0])
    assert (await client.new_order([("dns", "e.b.test")])).status == "pending"
    # A directory that does not offer it looks past the word, and at no domain's proof.
    door.reopen(None, replace(EVERY, subdomains=False))
    status, said, _ = await ordered(("g.b.test", "b.test"))
    authz_url = said["authorizations"][0]  # type: ignore[index]
    assert (await door.post(authz_url, door.signed(client, authz_url, b"")))[1]["identifier"]["value"] == "g.b.test"


async def test_caa_is_looked_at_when_a_name_is_proved(door: Door) -> None:
    client = await opened(door, replace(EVERY, caa=True))
    door.dns.set("a.test", "CAA", '0 issue "other.test"')
    door.dns.set("b.test", "CAA", f'0 issue "{ISSUER}; validationmethods=http-01"')
    order = await door.prove(client, await client.new_order([("dns", "a.test"), ("dns", "b.test")]))
    assert order.status == "invalid"
    assert order.error is not None
    assert order.error.short_type == "caa"
    assert (await door.prove(client, await client.new_order([("dns", "b.test")]))).status == "ready"
    # A standing record is no way around it.
    door.dns.set_txt("_validation-persist.a.test", standing(client))
    assert (await client.new_order([("dns", "a.test")])).status == "pending"


async def test_caa_is_looked_at_again_when_the_last_look_is_old_or_was_at_another_name(door: Door) -> None:
    client = await opened(door, replace(EVERY, caa=True))
    order = await door.ready(client, "a.test")
    door.dns.set("a.test", "CAA", '0 issue ";"')
    await door.mint.database.fetchval("UPDATE acme_authz SET expires = expires + interval '30 hours'")
    await door.mint.database.fetchval("UPDATE acme_order SET expires = expires + interval '30 hours'")
    # Just looked at: what the zone says since may wait.
    fresh = await client.new_order([("dns", "a.test")])
    assert (await client.finalize(fresh, csr_for(["a.test"]))).status == "valid"
    door.mint.clock.advance(timedelta(hours=8, seconds=1))
    error = await refused(client.finalize(order, csr_for(["a.test"])))
    assert (error.status, error.problem.short_type) == (403, "caa")
    assert [one.identifier and one.identifier.value for one in error.problem.subproblems] == ["a.test"]
    assert (await client.order(order.url)).status == "ready"
    door.dns.set("a.test", "CAA", f'0 issue "{ISSUER}; accounturi={client.account_url}"')
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"
    # Proved for the domain; the name below has a word of its own.
    door.dns.set_txt("_validation-persist.b.test", standing(client, "; policy=wildcard"))
    door.dns.set("x.b.test", "CAA", '0 issue ";"')
    url = client.directory.new_order
    payload = {"identifiers": [{"type": "dns", "value": "x.b.test", "ancestorDomain": "b.test"}]}
    _, said, answer = await door.post(url, door.signed(client, url, payload))
    assert said["status"] == "ready"
    below = await client.order(answer.header("location") or "")
    assert (await refused(client.finalize(below, csr_for(["x.b.test"])))).problem.short_type == "caa"


async def test_what_went_wrong_is_written_down_without_the_token_and_goes_in_time(door: Door) -> None:
    client = await opened(door)
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("dns-01")
    assert challenge is not None
    await client.answer(challenge)
    await door.validate()
    door.mint.clock.advance(timedelta(seconds=2))
    door.dns.set_txt("_acme-challenge.a.test", client.dns_value(challenge.token))
    await door.validate()
    assert (await client.order(order.url)).status == "ready"
    store = AttemptStore(door.mint.database)
    found = await store.latest(name="a.test")
    assert [(one.method, one.outcome) for one in found] == [("dns-01", "valid"), ("dns-01", "again")]
    assert (found[1].reason, found[0].record[0]["target"]) == ("acme.validation.dns", "_acme-challenge.a.test")
    order = await client.new_order([("dns", "c.test")])
    http = (await client.authorization(order.authorizations[0])).challenge("http-01")
    assert http is not None
    await client.answer(http)
    await door.validate()
    (failed,) = await store.latest(name="c.test")
    assert (failed.outcome, failed.reason) == ("invalid", "acme.validation.incorrect")
    assert "HTTP 404" in str(failed.record)
    assert "127.0.0.1" in str(failed.record)
    assert http.token not in str(failed)
    assert challenge.token not in str(found)
    of_account = await store.latest(account=found[0].account_id)
    assert [one.id for one in of_account] == [one.id for one in (failed, *found)]
    # One that passes at once leaves none: every order would.
    await door.ready(client, "b.test")
    assert await store.latest(name="b.test") == []
    door.mint.clock.advance(timedelta(days=31))
    await Pruner(door.mint.database, door.mint.clock, keep=timedelta(days=30)).run_once()
    assert await store.latest() == []


async def test_old_orders_go_in_steps_and_what_lives_stays(door: Door) -> None:
    client, clock = await door.client(), door.mint.clock
    issued = await door.issued(client, "a.test")
    for n in range(5):
        await client.new_order([("dns", f"{n}.test")])
    pruner = Pruner(door.mint.database, clock, keep=timedelta(days=10), step=2)
    assert [await pruner.run_once() for _ in range(4)] == [0, 0, 0, 0]
    clock.advance(timedelta(days=18))
    young = await client.new_order([("dns", "young.test")])
    assert sum([await pruner.run_once() for _ in range(4)]) == 5
    assert (await door.count("acme_order"), await door.count("acme_authz")) == (2, 2)
    assert (await client.order(issued.url)).status == "valid"
    assert await client.certificate(issued)
    clock.advance(timedelta(days=30))
    for _ in range(4):
        await pruner.run_once()
    assert await door.count("acme_order") == 0
    assert await door.count("acme_authz") == 0
    assert (await refused(client.order(young.url))).status == 404
    assert await door.count("certificate") == 1
