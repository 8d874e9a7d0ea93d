"""The HTTP check of nginx and Envoy: what lets in, what does not, and who may say which certificate was shown."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.connect.authz.conftest import Door


async def pem_of(door: Door, sha256: str) -> str:
    from troth.pki.store import CertificateStore

    row = await CertificateStore(door.trust.database).by_sha256(bytes.fromhex(sha256))
    assert row is not None
    assert row.der is not None
    return x509.load_der_x509_certificate(row.der).public_bytes(Encoding.PEM).decode()


async def test_nginx_passes_a_certificate_and_is_told_whose_it_is(door: Door) -> None:
    headers = await door.register("web")
    await door.trust.subject("laptop-1")
    _, sha256 = await door.holder("laptop-2")
    headers |= {"x-ssl-client-cert": quote(await pem_of(door, sha256)), "x-ssl-client-verify": "SUCCESS"}
    answer = await door.client.get("/authz/check", headers=headers)
    assert answer.status_code == 200, answer.text
    told = {name: value for name, value in answer.headers.items() if name.startswith("x-troth-")}
    assert told.pop("x-troth-decision-id")
    assert told == {
        "x-troth-decision": "permit", "x-troth-outcome": "allow", "x-troth-reason": "policy.conditions_met",
        "x-troth-subject": "device:laptop-2", "x-troth-role": "staff", "x-troth-vlan": "40",
        "x-troth-session-seconds": "28800", "x-troth-owner": "", "x-troth-network": "", "x-troth-acl": "",
    }  # fmt: skip
    assert answer.content == b""


async def test_envoy_passes_a_hash_and_appends_the_path(door: Door) -> None:
    """The exchange of Envoy's HTTP ext_authz: the client's own method and path below the prefix, and the header
    ``x-forwarded-client-cert`` as documented."""
    headers = await door.register("mesh")
    _, sha256 = await door.holder()
    xfcc = f'By=spiffe://corp.example/front;Hash={sha256};Subject="CN=laptop-1,O=\\"Corp, Inc\\"";URI='
    answer = await door.client.post(
        "/authz/check/orders/17?token=secret", headers={**headers, "x-forwarded-client-cert": xfcc}
    )
    assert (answer.status_code, answer.headers["x-troth-decision"]) == (200, "permit")
    deleting = await door.client.delete(
        "/authz/check/orders/17",
        headers={**headers, "x-forwarded-client-cert": xfcc, "x-forwarded-for": "198.51.100.1"},
    )
    assert (deleting.status_code, deleting.headers["x-troth-reason"]) == (403, "policy.condition_false")
    assert deleting.json()["detail"] == "Deletions are made in the office."
    office = {"x-forwarded-client-cert": xfcc, "x-forwarded-for": "198.51.100.1, 192.0.2.9"}
    assert (await door.client.delete("/authz/check/orders/17", headers={**headers, **office})).status_code == 200
    await door.drain.once()
    rows = await door.trust.database.fetch("SELECT snapshot FROM decision ORDER BY id LIMIT 1")
    assert b"/orders/17" in rows[0]["snapshot"]
    assert b"secret" not in rows[0]["snapshot"], "a query may hold secrets"


async def test_of_several_proxies_the_nearest_counts(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    good, forged = f"Hash={sha256}", f"Hash={'ab' * 32}"
    for value, status in ((f"{forged},{good}", 200), (f"{good},{forged}", 403)):
        answer = await door.client.get("/authz/check", headers={**headers, "x-forwarded-client-cert": value})
        assert answer.status_code == status


async def test_without_a_token_no_header_is_believed(door: Door) -> None:
    """The client itself could send them: only a registered application's word counts."""
    _, sha256 = await door.holder()
    for headers in ({}, {"authorization": "Bearer trothapp_x"}, {"x-troth-token": "trothapp_x"}):
        answer = await door.client.get("/authz/check", headers={**headers, "x-forwarded-client-cert": f"Hash={sha256}"})
        assert answer.status_code == 401
        assert answer.headers["x-troth-decision"] == "deny"


async def test_a_proxy_may_pass_its_clients_own_authorization_on(door: Door) -> None:
    token = (await door.register())["authorization"].removeprefix("Bearer ")
    _, sha256 = await door.holder()
    headers = {
        "x-troth-token": token,
        "authorization": "Bearer of-the-client",
        "x-forwarded-client-cert": f"Hash={sha256}",
    }
    assert (await door.client.get("/authz/check", headers=headers)).status_code == 200


REFUSED: list[tuple[dict[str, str], str]] = [
    ({}, "connect.authz.no_certificate"),
    ({"x-ssl-client-verify": "NONE", "x-ssl-client-cert": ""}, "connect.authz.no_certificate"),
    ({"x-ssl-client-verify": "FAILED:unable to verify", "x-ssl-client-cert": "PEM"}, "connect.authz.malformed"),
    ({"x-ssl-client-cert": "nonsense"}, "connect.authz.malformed"),
    ({"x-forwarded-client-cert": "Hash=xy"}, "connect.authz.malformed"),
    ({"x-forwarded-client-cert": 'Subject="CN=a'}, "connect.authz.malformed"),
    ({"x-forwarded-client-cert": "By=spiffe://a"}, "connect.authz.no_certificate"),
    ({"x-forwarded-client-cert": "HASH;HASH"}, "connect.authz.malformed"),
    ({"x-forwarded-client-cert": "HASH", "x-ssl-client-cert": "OTHER"}, "connect.authz.malformed"),
]


async def test_what_tells_of_no_certificate_or_of_two_is_a_refusal(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    _, other = await door.holder("laptop-2")
    put = {
        "HASH": f"Hash={sha256}",
        "PEM": quote(await pem_of(door, sha256)),
        "OTHER": quote(await pem_of(door, other)),
    }
    for told, code in REFUSED:
        filled = dict(told)
        for word, value in put.items():
            filled = {name: text.replace(word, value) for name, text in filled.items()}
        answer = await door.client.get("/authz/check", headers={**headers, **filled})
        assert answer.status_code in (400, 403)
        assert (answer.json()["code"], answer.headers["x-troth-decision"]) == (code, "deny"), told


async def test_an_application_may_have_to_show_a_certificate_itself(door: Door) -> None:
    headers = await door.register(certificate_sha256=b"\x01" * 32)
    _, sha256 = await door.holder()
    answer = await door.client.get("/authz/check", headers={**headers, "x-forwarded-client-cert": f"Hash={sha256}"})
    assert answer.status_code == 401


async def test_connections_are_answered_from_memory_while_the_stream_is_current_and_not_after(door: Door) -> None:
    headers = {**await door.register(), "x-forwarded-client-cert": f"Hash={(await door.holder())[1]}"}
    sha256 = bytes.fromhex(headers["x-forwarded-client-cert"].removeprefix("Hash="))
    assert (await door.client.get("/authz/check", headers=headers)).status_code == 200
    assert door.presence.at_hand(sha256) is None, "nobody has read the stream yet"
    door.current()
    known = door.presence.at_hand(sha256)
    assert known is not None
    door.trust.clock.advance(timedelta(milliseconds=1100))
    assert door.presence.at_hand(sha256) is None, "the lease is over"
    door.current()
    assert door.presence.at_hand(sha256) is known
    door.current(f"certificate:{known.certificate.id}")
    assert door.presence.at_hand(sha256) is None, "an event about it forgets it"


async def test_while_nobody_asks_the_stream_is_not_read_and_nothing_is_remembered(door: Door) -> None:
    digest = bytes.fromhex((await door.holder())[1])
    now = door.trust.clock.monotonic
    assert door.presence.rooms() == frozenset()
    asked = asyncio.create_task(door.presence.known(digest))
    while digest not in door.presence._loading:
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # by now it has been sent to the database
    assert "certificate" in door.presence.rooms(), "somebody asks"
    # This look began before anybody did: what it has passed over may be about what is being read now.
    door.presence.follow([], asked_at=now(), complete=True, rooms=frozenset())
    assert await asked is not None, "the database has answered"
    assert door.presence.at_hand(digest) is None
    await door.presence.known(digest)
    door.current()
    assert door.presence.at_hand(digest) is not None
    door.trust.clock.advance(timedelta(seconds=61))
    assert door.presence.rooms() == frozenset()
    door.presence.follow([], asked_at=now(), complete=True, rooms=frozenset())
    assert len(door.presence) == 0


async def test_a_fact_that_no_event_tells_of_is_read_again(door: Door) -> None:
    _, sha256 = await door.holder()
    digest = bytes.fromhex(sha256)
    first = await door.presence.known(digest)
    door.current()
    door.trust.clock.advance(timedelta(seconds=11))
    door.current()
    assert door.presence.at_hand(digest) is first, "behind the answer"
    await door.presence._loading[digest]
    assert door.presence.at_hand(digest) is not first
    door.trust.clock.advance(timedelta(seconds=61))
    door.current()
    assert door.presence.at_hand(digest) is None, "too old to answer at all"


async def test_a_clients_own_token_of_another_application_is_not_taken_for_the_proxys(door: Door) -> None:
    """nginx passes on what it does not overwrite; a client that works for another application has a token too."""
    strict, lax = await door.register("strict", profiles=("vpn",)), await door.register("lax")
    _, sha256 = await door.holder()
    token = lax["authorization"].removeprefix("Bearer ")
    smuggled = {"x-troth-token": token, "x-forwarded-client-cert": f"Hash={sha256}"}
    answer = await door.client.get("/authz/check", headers={**strict, **smuggled})
    assert (answer.status_code, answer.headers["x-troth-decision"]) == (401, "deny")
    # Envoy passes the client's own bearer token on, which is not one of ours.
    passed = await door.client.get("/authz/check", headers={**smuggled, "authorization": "Bearer of-the-application"})
    assert passed.status_code == 200


async def test_what_lets_in_sets_each_header_so_that_none_of_the_clients_is_left(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    answer = await door.client.get("/authz/check", headers={**headers, "x-forwarded-client-cert": f"Hash={sha256}"})
    told = {name for name in answer.headers if name.startswith("x-troth-")}
    assert told == {f"x-troth-{name}" for name in (
        "decision", "decision-id", "outcome", "reason", "subject", "owner", "network", "role", "vlan", "acl",
        "session-seconds",
    )}  # fmt: skip
    assert answer.headers["x-troth-owner"] == answer.headers["x-troth-acl"] == ""
