"""From a new account to a revoked certificate, through the door as a client walks it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.acme_door import BASE, Door, LaneTransport, csr_for, identifier
from troth.client.acme import AcmeClient, AcmeError
from troth.client.jose import SigningKey, b64url_encode
from troth.enroll.acme.orders import PAGE

P256 = ec.SECP256R1()


async def refused(awaitable: object) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_the_whole_walk(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    assert (order.status, order.profile, len(order.authorizations)) == ("pending", "tls-server", 1)
    authz = await client.authorization(order.authorizations[0])
    assert [challenge.type for challenge in authz.challenges] == ["http-01", "dns-01", "tls-alpn-01"]
    assert len({challenge.token for challenge in authz.challenges}) == 3
    challenge = authz.challenge("http-01")
    assert challenge is not None
    door.serve(client, challenge.token)
    assert (await client.answer(challenge)).status == "processing"
    assert (await client.answer(challenge)).status == "processing"
    assert await door.validate() == 1
    proved = await client.authorization(authz.url)
    assert proved.status == "valid"
    assert [(c.type, c.status) for c in proved.challenges] == [("http-01", "valid")]
    order = await client.order(order.url)
    assert order.status == "ready"
    key = ec.generate_private_key(P256)
    order = await client.finalize(order, csr_for(["a.test"], key))
    assert order.status == "valid"
    leaf, issuer = x509.load_pem_x509_certificates(await client.certificate(order))
    leaf.verify_directly_issued_by(issuer)
    assert issuer == door.mint.issuer
    assert leaf.public_key() == key.public_key()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test"]
    assert list(leaf.subject) == []
    await client.revoke(leaf.public_bytes(Encoding.DER), 4)
    assert await door.mint.database.fetchval("SELECT status || revocation_reason FROM certificate") == "revoked4"
    assert (await refused(client.revoke(leaf.public_bytes(Encoding.DER)))).problem.short_type == "alreadyRevoked"
    assert await door.events("acme.") == [
        "acme.account.created", "acme.order.placed", "acme.authorization.valid",
    ]  # fmt: skip
    assert sorted(kind for kind in await door.events() if kind.startswith(("decision", "certificate", "subject"))) == [
        "certificate.issued", "certificate.reserved", "certificate.revoked", "decision.made", "subject.created",
    ]  # fmt: skip


async def test_every_answer_has_a_nonce_the_index_and_may_be_read_by_scripts(door: Door) -> None:
    client = await door.client()
    await door.issued(client, "a.test")
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    transport.origin = "https://a.page.example"
    await door.issued(client, "b.test")
    await refused(client.new_order([("dns", "*")]))
    for answer in transport.answers[1:]:
        assert len(answer.headers["replay-nonce"]) == 1, answer.url
        assert f'<{door.directory()}>;rel="index"' in answer.headers["link"], answer.url
        assert answer.header("cache-control") == "no-store"
    for answer in transport.answers[-2:]:
        assert answer.header("access-control-allow-origin") == "*"
    nonces = [answer.headers["replay-nonce"][0] for answer in transport.answers[1:]]
    assert len(set(nonces)) == len(nonces)


async def test_a_script_in_a_page_is_told_by_its_browser_that_it_may_post(door: Door) -> None:
    url = f"{BASE}/acme/tls-server/new-order"
    answer = await LaneTransport(door.lane, "https://a.page.example").request("OPTIONS", url)
    assert (answer.status, answer.header("access-control-allow-origin")) == (204, "*")
    assert answer.header("access-control-allow-methods") == "POST"
    assert answer.header("access-control-allow-headers") == "Content-Type"
    answer = await LaneTransport(door.lane).request("OPTIONS", url)
    assert (answer.status, answer.header("allow")) == (204, "OPTIONS, POST")
    assert answer.header("access-control-allow-origin") is None


async def test_directory_and_new_nonce_are_read_by_get_head_and_post_as_get(door: Door) -> None:
    client = await door.client()
    for path, get, head in (("directory", 200, 200), ("new-nonce", 204, 200)):
        url = f"{BASE}/acme/tls-server/{path}"
        assert (await door.post(url, b"", method="GET"))[0] == get
        assert (await door.post(url, b"", method="HEAD"))[0] == head
        status, said, answer = await door.post(url, door.signed(client, url, b""))
        assert status in (200, 204)
        assert len(answer.headers["replay-nonce"]) == 1
        if path == "directory":
            assert said["newOrder"] == f"{BASE}/acme/tls-server/new-order"
        status, said, _ = await door.post(url, door.signed(client, url, {}))
        assert (status, said["type"].rpartition(":")[2]) == (400, "malformed")


async def test_a_known_key_finds_its_account_whatever_the_request_says(door: Door) -> None:
    client = await door.client()
    again = await client.register(["mailto:someone@example.org"])
    assert (again.created, again.url, again.contact) == (False, client.account_url, ())
    assert (await client.register(only_existing=True)).url == client.account_url
    assert await door.count("acme_account") == 1
    other = await AcmeClient.open(door.directory(), key=SigningKey.generate(), transport=LaneTransport(door.lane))
    error = await refused(other.register(only_existing=True))
    assert (error.status, error.problem.short_type) == (400, "accountDoesNotExist")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "EdDSA"])
async def test_accounts_of_every_algorithm_are_served(door: Door, algorithm: str) -> None:
    client = await door.client(key=SigningKey.generate(algorithm))
    assert (await client.account()).status == "valid"


async def test_contacts_are_changed_and_held_to_plain_addresses(door: Door) -> None:
    client = await door.client()
    assert (await client.update_contact(["mailto:a@example.org"])).contact == ("mailto:a@example.org",)
    assert (await client.account()).contact == ("mailto:a@example.org",)
    for told in ("mailto: a@example.org ", "a@example.org"):  # getssl; the step CLI
        assert (await client.update_contact([told])).contact == ("mailto:a@example.org",)
    for bad, short in (
        ("mailto:a@example.org,b@example.org", "invalidContact"),
        ("mailto:a@example.org?subject=x", "invalidContact"),
        ("mailto:a\u0000@example.org", "invalidContact"),
        ("mailto: a b@example.org", "invalidContact"),
        ("example.org", "invalidContact"),
        ("tel:+123", "unsupportedContact"),
    ):
        error = await refused(client.update_contact([bad]))
        assert (error.status, error.problem.short_type) == (400, short), bad
    assert (await client.account()).contact == ("mailto:a@example.org",)
    assert (await client.update_contact([])).contact == ()


async def test_the_key_is_changed_and_the_account_stays(door: Door) -> None:
    client = await door.client()
    old, order = client.key, await door.ready(client, "a.test")
    await client.change_key(SigningKey.generate())
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"
    client.key = old
    assert (await refused(client.account())).problem.short_type == "malformed"


async def test_a_key_in_use_is_refused_with_the_url_of_its_account(door: Door) -> None:
    first, second = await door.client(), await door.client()
    error = await refused(first.change_key(second.key))
    assert error.status == 409
    assert error.headers["location"] == (second.account_url,)
    assert (await first.account()).status == "valid"


async def test_a_key_taken_between_look_and_commit_is_refused_alike(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, key = await door.client(), SigningKey.generate()
    commit, late = door.mint.database.commit, []

    async def raced(unit: object) -> None:
        if not late:
            late.append(True)
            late.append((await door.client(key=key)).account_url)
        await commit(unit)  # type: ignore[arg-type]

    monkeypatch.setattr(door.mint.database, "commit", raced)
    error = await refused(first.change_key(key))
    assert (error.status, error.headers["location"]) == (409, (late[1],))


async def test_a_deactivated_account_is_over_with_all_it_had_under_way(door: Door) -> None:
    client = await door.client()
    ready = await door.ready(client, "a.test")
    pending = await client.new_order([("dns", "b.test")])
    assert (await client.deactivate()).status == "deactivated"
    for call in (client.account, lambda: client.order(ready.url), lambda: client.new_order([("dns", "c.test")])):
        error = await refused(call())
        assert (error.status, error.problem.short_type) == (401, "unauthorized")
    assert (await refused(client.register())).status == 401
    rows = await door.mint.database.fetch("SELECT status FROM acme_order")
    assert {row["status"] for row in rows} == {"invalid"}
    rows = await door.mint.database.fetch("SELECT status FROM acme_authz")
    assert {row["status"] for row in rows} == {"deactivated"}
    assert pending.status == "pending"


async def test_a_challenge_that_was_answered_before_the_account_closed_is_not_validated(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    await client.answer(authz.challenges[0])
    await client.deactivate()
    assert await door.validate() == 1
    assert door.web_root.requests == []
    assert await door.count("job") == 0


async def test_a_deactivated_authorization_undoes_every_order_that_stands_on_it(door: Door) -> None:
    client = await door.client()
    first = await door.ready(client, "a.test")
    second = await client.new_order([("dns", "a.test")])
    assert second.status == "ready"
    pending = await client.new_order([("dns", "a.test"), ("dns", "b.test")])
    bystander = await door.ready(client, "c.test")
    assert (await client.deactivate_authorization(first.authorizations[0])).status == "deactivated"
    for order in (first, second, pending):
        assert (await client.order(order.url)).status == "invalid"
        error = await refused(client.finalize(order, csr_for(["a.test"])))
        assert (error.status, error.problem.short_type) == (403, "orderNotReady")
    assert (await client.order(bystander.url)).status == "ready"
    assert (await client.new_order([("dns", "a.test")])).status == "pending"


async def test_a_deactivation_is_not_undone_by_an_answer_at_the_same_moment(door: Door) -> None:
    client = await door.client()
    account = await door.desks.store.account(_last(client.account_url))
    assert account is not None
    for number in range(8):
        order = await client.new_order([("dns", f"n{number}.test")])
        stored = await door.desks.store.authorization(_last(order.authorizations[0]))
        assert stored is not None
        both = [door.desks.orders.answer(account, stored, "http-01"), door.desks.orders.deactivate(account, stored)]
        await asyncio.gather(*(both if number % 2 else reversed(both)))
        assert (await client.authorization(order.authorizations[0])).status == "deactivated"
        assert (await client.order(order.url)).status == "invalid"
    await door.validate()
    assert door.web_root.requests == []


async def test_a_proof_serves_further_orders_of_its_account_until_it_expires(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    again = await client.new_order([("dns", "a.test")])
    assert again.status == "ready"
    assert again.authorizations != order.authorizations
    assert (await client.finalize(again, csr_for(["a.test"]))).status == "valid"
    other = await door.client()
    assert (await other.new_order([("dns", "a.test")])).status == "pending"
    assert (await client.new_order([("dns", "*.a.test")])).status == "pending"
    door.mint.clock.advance(timedelta(hours=8))
    assert (await client.new_order([("dns", "a.test")])).status == "pending"
    assert (await client.authorization(order.authorizations[0])).status == "expired"


async def test_a_ready_order_lasts_no_longer_than_its_proofs(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    begun = door.mint.clock.now()
    assert order.expires == (begun + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    door.mint.clock.advance(timedelta(hours=7))
    again = await client.new_order([("dns", "a.test")])
    assert (again.status, again.expires) == ("ready", order.expires)
    door.mint.clock.advance(timedelta(hours=1))
    assert (await client.order(order.url)).status == "invalid"
    error = await refused(client.finalize(again, csr_for(["a.test"])))
    assert (error.status, error.problem.short_type) == (403, "orderNotReady")
    assert await door.count("certificate") == 0


async def test_a_pending_order_expires_and_its_authorization_fails(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    door.mint.clock.advance(timedelta(days=7))
    assert (await client.order(order.url)).status == "invalid"
    authz = await client.authorization(order.authorizations[0])
    assert authz.status == "invalid"
    assert (await client.answer(authz.challenges[0])).status == "pending"
    assert await door.count("job") == 0


async def test_several_names_take_one_authorization_each_and_the_last_makes_the_order_ready(door: Door) -> None:
    client = await door.client()
    names = ["c.test", "A.test", "b.test", "a.test"]
    order = await client.new_order([identifier(name) for name in names])
    assert [one.value for one in order.identifiers] == ["a.test", "b.test", "c.test"]
    for number, url in enumerate(order.authorizations):
        authz = await client.authorization(url)
        challenge = authz.challenge("http-01")
        assert challenge is not None
        door.serve(client, challenge.token)
        await client.answer(challenge)
        await door.validate()
        assert (await client.order(order.url)).status == ("ready" if number == 2 else "pending")
    error = await refused(client.finalize(order, csr_for(["a.test", "b.test"])))
    assert error.problem.short_type == "badCSR"
    assert (await client.finalize(order, csr_for(["b.test", "a.test", "c.test"]))).status == "valid"


async def test_wildcards_are_proved_by_dns_alone_and_apart_from_their_base(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "*.a.test"), ("dns", "a.test")])
    found = [await client.authorization(url) for url in order.authorizations]
    assert {(authz.identifier.value, authz.wildcard) for authz in found} == {("a.test", True), ("a.test", False)}
    wild = next(authz for authz in found if authz.wildcard)
    assert [challenge.type for challenge in wild.challenges] == ["dns-01"]
    order = await door.prove(client, order, "dns-01")
    assert order.status == "ready"
    order = await client.finalize(order, csr_for(["*.a.test", "a.test"]))
    leaf = x509.load_pem_x509_certificates(await client.certificate(order))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.a.test", "a.test"]


async def test_addresses_are_certified_as_addresses(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("ip", "127.0.0.1")])
    authz = await client.authorization(order.authorizations[0])
    assert [challenge.type for challenge in authz.challenges] == ["http-01", "tls-alpn-01"]
    order = await door.prove(client, order)
    order = await client.finalize(order, csr_for(["127.0.0.1"], common_name="127.0.0.1"))
    leaf = x509.load_pem_x509_certificates(await client.certificate(order))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(value) for value in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == []
    assert list(leaf.subject) == []


async def test_the_end_of_validity_that_was_ordered_is_the_certificates(door: Door) -> None:
    client = await door.client()
    begun = door.mint.clock.now()
    await door.ready(client, "a.test")
    for wanted in (begun + timedelta(days=60), begun + timedelta(hours=1)):
        order = await client.new_order([("dns", "a.test")], not_after=wanted.strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert order.not_after == wanted.strftime("%Y-%m-%dT%H:%M:%SZ")
        door.mint.clock.advance(timedelta(seconds=90))
        order = await client.finalize(order, csr_for(["a.test"]))
        leaf = x509.load_pem_x509_certificates(await client.certificate(order))[0]
        assert leaf.not_valid_after_utc == wanted
    with_offset = await client.new_order([("dns", "a.test")], not_after="2026-03-10T12:00:00.5+02:00")
    assert with_offset.not_after == "2026-03-10T10:00:00Z"


async def test_a_time_that_nobody_has_chosen_is_none(door: Door) -> None:
    # The step CLI sends Go's zero time for both.
    client = await door.client()
    nothing = "0001-01-01T00:00:00Z"
    order = await client.new_order([("dns", "a.test")], not_before=nothing, not_after=nothing)
    assert (order.not_before, order.not_after) == ("", "")


@pytest.mark.parametrize(
    "wanted",
    ["2020-01-01T00:00:00Z", "2026-06-02T09:00:00Z", "9999-12-31T23:59:59-12:00", "2026-03-10", "20260310T000000Z",
     "2026-03-10T10:00:00", "tomorrow", "2026-03-10T24:00:01Z"],
)  # fmt: skip
async def test_an_end_that_cannot_be_had_is_refused_at_once(door: Door, wanted: str) -> None:
    client = await door.client()
    error = await refused(client.new_order([("dns", "a.test")], not_after=wanted))
    assert (error.status, error.problem.short_type) == (400, "malformed")
    error = await refused(client.new_order([("dns", "a.test")], not_before="2026-03-10T10:00:00Z"))
    assert error.problem.short_type == "malformed"
    assert await door.count("acme_order") == 0


async def test_orders_are_listed_in_pages(door: Door) -> None:
    client = await door.client()
    made = [(await client.new_order([("dns", f"n{number}.test")])).url for number in range(PAGE + 1)]
    gone = await client.new_order([("dns", "gone.test")])
    await client.deactivate_authorization(gone.authorizations[0])
    url = (await client.account()).orders
    found: list[str] = []
    pages = 0
    while url:
        status, said, answer = await door.post(url, door.signed(client, url, b""))
        assert status == 200
        found += said["orders"]
        pages += 1
        following = answer.links("next")
        url = following[0] if following else ""
    assert (pages, found) == (2, made)
    door.mint.clock.advance(timedelta(days=7))
    url = (await client.account()).orders
    assert (await door.post(url, door.signed(client, url, b"")))[1] == {"orders": []}


async def test_a_failed_validation_is_tried_again_and_told_with_its_reason(door: Door) -> None:
    client = await door.client()
    door.dns.failures["a.test"] = "SERVFAIL"
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("http-01")
    assert challenge is not None
    await client.answer(challenge)
    assert await door.validate() == 1
    failing = await client.authorization(authz.url)
    assert failing.status == "pending"
    assert failing.retry_after == 1
    shown = failing.challenge("http-01")
    assert shown is not None
    assert shown.status == "processing"
    assert shown.error is not None
    assert shown.error.short_type == "dns"
    assert await door.validate() == 0
    door.dns.failures.clear()
    door.serve(client, challenge.token)
    door.mint.clock.advance(timedelta(seconds=2))
    assert await door.validate() == 1
    healed = (await client.authorization(authz.url)).challenge("http-01")
    assert healed is not None
    assert (healed.status, healed.error) == ("valid", None)


async def test_a_wrong_answer_fails_the_order_with_the_same_problem_everywhere(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test"), ("dns", "b.test")])
    authz = await client.authorization(order.authorizations[0])
    challenge = authz.challenge("http-01")
    assert challenge is not None
    door.web_root.tokens[challenge.token] = f"{challenge.token}.wrong"
    await client.answer(challenge)
    await door.validate()
    failed = await client.authorization(authz.url)
    assert failed.status == "invalid"
    assert [one.type for one in failed.challenges] == ["http-01"]
    order = await client.order(order.url)
    assert order.status == "invalid"
    assert order.error is not None
    assert order.error == failed.challenges[0].error
    assert order.error.short_type == "incorrectResponse"
    assert (await client.answer(challenge)).status == "invalid"


async def test_two_challenges_of_one_authorization_do_not_overwrite_each_other(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    authz = await client.authorization(order.authorizations[0])
    both = [authz.challenge(kind) for kind in ("http-01", "dns-01")]
    assert all(both)
    account = await door.desks.store.account(_last(client.account_url))
    stored = await door.desks.store.authorization(_last(authz.url))
    assert account is not None
    assert stored is not None
    # Both answers were read before either was written.
    for kind in ("http-01", "dns-01"):
        await door.desks.orders.answer(account, stored, kind)
    states = {one.type: one.status for one in (await client.authorization(authz.url)).challenges}
    assert states == {"http-01": "processing", "dns-01": "processing", "tls-alpn-01": "pending"}


async def test_revoking_by_the_certificates_key_counts_as_its_compromise(door: Door) -> None:
    client, key = await door.client(), ec.generate_private_key(P256)
    order = await door.issued(client, "a.test", key=key)
    der = x509.load_pem_x509_certificates(await client.certificate(order))[0].public_bytes(Encoding.DER)
    stranger = await door.client()
    error = await refused(stranger.revoke(der, key=SigningKey.generate()))
    assert (error.status, error.problem.short_type) == (403, "unauthorized")
    await stranger.revoke(der, 4, key=SigningKey.wrap(key))
    assert await door.mint.database.fetchval("SELECT status || revocation_reason FROM certificate") == "revoked1"
    again = await client.new_order([("dns", "a.test")])
    error = await refused(client.finalize(again, csr_for(["a.test"], key)))
    assert (error.status, error.problem.short_type, error.problem.reason) == (400, "badCSR", "acme.csr.refused")
    assert (await client.finalize(again, csr_for(["a.test"]))).status == "valid"


async def test_an_account_that_controls_every_name_may_revoke_and_no_other(door: Door) -> None:
    owner, other = await door.client(), await door.client()
    order = await door.issued(owner, "a.test", "b.test")
    der = x509.load_pem_x509_certificates(await owner.certificate(order))[0].public_bytes(Encoding.DER)
    await door.ready(other, "a.test")
    error = await refused(other.revoke(der))
    assert (error.status, error.problem.short_type) == (403, "unauthorized")
    await door.ready(other, "b.test")
    await other.revoke(der, 1)
    assert await door.mint.database.fetchval("SELECT status || revocation_reason FROM certificate") == "revoked1"


@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10, -1, True, "1", 1.0, None])
async def test_reasons_that_are_not_a_subscribers_are_refused(door: Door, reason: object) -> None:
    client = await door.client()
    order = await door.issued(client, "a.test")
    der = x509.load_pem_x509_certificates(await client.certificate(order))[0].public_bytes(Encoding.DER)
    url = client.directory.revoke_cert
    body = door.signed(client, url, {"certificate": b64url_encode(der), "reason": reason})
    status, said, _ = await door.post(url, body)
    assert (status, said["type"].rpartition(":")[2]) == (400, "badRevocationReason")
    assert await door.mint.database.fetchval("SELECT status FROM certificate") == "good"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
async def test_a_certificate_of_somebody_else_cannot_be_revoked_here(door: Door) -> None:
    client = await door.client()
    error = await refused(client.revoke(door.mint.issuer.public_bytes(Encoding.DER)))
    assert (error.status, error.problem.short_type) == (404, "malformed")
    leaf = door.mint.issuer.public_bytes(Encoding.DER)
    serial = door.mint.issuer.serial_number.to_bytes(20, "big").lstrip(b"\0")
    negative = leaf.replace(serial, b"\x91" + serial[1:])
    for made_up in (b"\x30\x03\x02\x01\x01", negative):
        error = await refused(client.revoke(made_up))
        assert (error.status, error.problem.short_type) == (400, "malformed")


async def test_a_key_that_signs_acme_requests_is_not_certified(door: Door) -> None:
    client, other = await door.client(), await door.client()
    order = await door.ready(client, "a.test")
    for key in (client.key.private_key, other.key.private_key):
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        error = await refused(client.finalize(order, csr_for(["a.test"], key)))
        assert (error.status, error.problem.short_type) == (400, "badCSR")
    assert (await client.order(order.url)).status == "ready"
    assert await door.count("certificate") == 0


async def test_a_name_may_stand_in_the_subject_the_extension_or_both(door: Door) -> None:
    client = await door.client()
    await door.ready(client, "a.test", "b.test")
    for names, common_name in ((["b.test"], "a.test"), (["a.test", "b.test"], "A.TEST")):
        order = await client.new_order([("dns", "a.test"), ("dns", "b.test")])
        assert (await client.finalize(order, csr_for(names, common_name=common_name))).status == "valid"
    single = await client.new_order([("dns", "a.test")])
    assert (await client.finalize(single, csr_for([], common_name="a.test"))).status == "valid"


async def test_the_directory_tells_its_profile_and_orders_may_name_it(door: Door) -> None:
    client = await door.client()
    assert set(client.directory.meta.profiles) == {"tls-server"}
    assert (await client.new_order([("dns", "a.test")], profile="tls-server")).profile == "tls-server"
    error = await refused(client.new_order([("dns", "a.test")], profile="other"))
    assert (error.status, error.problem.short_type) == (400, "invalidProfile")


def _last(url: str) -> UUID:
    return UUID(url.rpartition("/")[2])
