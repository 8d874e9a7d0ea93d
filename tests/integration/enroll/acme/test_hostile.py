"""Hostile input at the door: the right problem, nothing stored, nothing secret logged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.acme_door import BASE, JOSE, Door, LaneTransport, Lines, csr_for
from troth.client.acme import AcmeClient, AcmeError
from troth.client.acme_session import sign_jws
from troth.client.jose import SigningKey, b64url_decode, b64url_encode

NEW_ORDER = f"{BASE}/acme/tls-server/new-order"
NEW_ACCOUNT = f"{BASE}/acme/tls-server/new-account"
PAYLOAD = {"identifiers": [{"type": "dns", "value": "evil.test"}]}
Spoiler = Callable[[Door, AcmeClient], tuple[bytes, str | None]]


def changed(**header: object) -> Spoiler:
    """A request for a new order with some members of its protected header changed, and signed like that."""
    return lambda door, client: (door.signed(client, NEW_ORDER, PAYLOAD, **header), JOSE)


def spoilt(change: Callable[[dict[str, str]], object]) -> Spoiler:
    """A good request whose three members are changed after it was signed."""

    def spoil(door: Door, client: AcmeClient) -> tuple[bytes, str | None]:
        flat = json.loads(door.signed(client, NEW_ORDER, PAYLOAD))
        return msgspec.json.encode(change(flat)), JOSE

    return spoil


def said(payload: bytes) -> Spoiler:
    """A well-signed request with this payload."""
    return lambda door, client: (door.signed(client, NEW_ORDER, payload), JOSE)


def raw(body: bytes, content_type: str | None = JOSE) -> Spoiler:
    """These bytes."""
    return lambda _door, _client: (body, content_type)


def typed(content_type: str | None) -> Spoiler:
    """A good request under another content type."""
    return lambda door, client: (door.signed(client, NEW_ORDER, PAYLOAD), content_type)


def used_nonce(door: Door, client: AcmeClient) -> tuple[bytes, str | None]:
    nonce = door.nonces.issue()
    assert door.nonces.consume(nonce)
    return door.signed(client, NEW_ORDER, PAYLOAD, nonce=nonce), JOSE


def wrong_key(door: Door, client: AcmeClient) -> tuple[bytes, str | None]:
    header = {"alg": "ES256", "nonce": door.nonces.issue(), "url": NEW_ORDER, "kid": client.account_url}
    return sign_jws(SigningKey.generate(), header, msgspec.json.encode(PAYLOAD)), JOSE


def by_hmac(door: Door, client: AcmeClient) -> tuple[bytes, str | None]:
    """The public key as an HMAC secret, for servers that let the header choose how to verify."""
    return door.signed(client, NEW_ORDER, PAYLOAD, alg="HS256"), JOSE


def doubled(door: Door, client: AcmeClient) -> tuple[bytes, str | None]:
    body = door.signed(client, NEW_ORDER, PAYLOAD)
    return body[:-1] + b',"payload":"e30"}', JOSE


JWK = dict(SigningKey.generate().public.jwk)
MESSAGES: dict[str, tuple[Spoiler, int, str]] = {
    "empty": (raw(b""), 400, "malformed"),
    "no JSON": (raw(b"{"), 400, "malformed"),
    "not UTF-8": (raw(b'{"protected":"\xff"}'), 400, "malformed"),
    "an array": (raw(b"[]"), 400, "malformed"),
    "deep": (raw(b"[" * 60_000), 400, "malformed"),
    "compact": (raw(b"a.b.c"), 400, "malformed"),
    "general form": (spoilt(lambda f: {"payload": f["payload"], "signatures": [f]}), 400, "malformed"),
    "unprotected header": (spoilt(lambda f: {**f, "header": {"alg": "none"}}), 400, "malformed"),
    "detached payload": (spoilt(lambda f: {k: v for k, v in f.items() if k != "payload"}), 400, "malformed"),
    "no signature": (spoilt(lambda f: {**f, "signature": ""}), 400, "malformed"),
    "padded": (spoilt(lambda f: {**f, "payload": f["payload"] + "="}), 400, "malformed"),
    "other payload": (spoilt(lambda f: {**f, "payload": b64url_encode(b'{"identifiers":[]}')}), 400, "malformed"),
    "member twice": (doubled, 400, "malformed"),
    "no media type": (typed(None), 415, "malformed"),
    "plain JSON": (typed("application/json"), 415, "malformed"),
    "a form": (typed("application/x-www-form-urlencoded"), 415, "malformed"),
    "none": (changed(alg="none"), 400, "badSignatureAlgorithm"),
    "HMAC": (by_hmac, 400, "badSignatureAlgorithm"),
    "RS1": (changed(alg="RS1"), 400, "badSignatureAlgorithm"),
    "alg of another key": (changed(alg="RS256"), 400, "badSignatureAlgorithm"),
    "no alg": (changed(alg=None), 400, "malformed"),
    "crit": (changed(crit=["exp"]), 400, "malformed"),
    "b64": (changed(b64=False), 400, "malformed"),
    "jwk and kid": (changed(jwk=JWK), 400, "malformed"),
    "jwk alone": (changed(jwk=JWK, kid=None), 400, "malformed"),
    "neither": (changed(kid=None), 400, "malformed"),
    "kid of nobody": (
        changed(kid=f"{BASE}/acme/tls-server/acct/01a208bf-f7eb-7f41-9827-f85844a70bb1"), 400, "accountDoesNotExist",
    ),
    "kid elsewhere": (changed(kid="https://other.test/acme/tls-server/acct/1"), 400, "malformed"),
    "kid no string": (changed(kid={"a": 1}), 400, "malformed"),
    "no url": (changed(url=None), 400, "malformed"),
    "other url": (changed(url=NEW_ACCOUNT), 403, "unauthorized"),
    "url with a query": (changed(url=NEW_ORDER + "?a=b"), 403, "unauthorized"),
    "no nonce": (changed(nonce=None), 400, "malformed"),
    "nonce no string": (changed(nonce=7), 400, "malformed"),
    "foreign nonce": (changed(nonce="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 400, "badNonce"),
    "short nonce": (changed(nonce="AA"), 400, "badNonce"),
    "used nonce": (used_nonce, 400, "badNonce"),
    "wrong key": (wrong_key, 400, "malformed"),
    "no payload": (said(b""), 400, "malformed"),
    "payload no object": (said(b'"identifiers"'), 400, "malformed"),
    "doubled name in the payload": (said(b'{"identifiers":[],"identifiers":[]}'), 400, "malformed"),
    "NaN": (said(b'{"identifiers":NaN}'), 400, "malformed"),
    "endless number": (said(b'{"identifiers":' + b"9" * 9000 + b"}"), 400, "malformed"),
    "lone surrogate": (said(rb'{"identifiers":[{"type":"dns","value":"\ud800.test"}]}'), 400, "malformed"),
    "surrogate in the type": (said(rb'{"identifiers":[{"type":"\udfff","value":"a"}]}'), 400, "malformed"),
    "NUL": (said(rb'{"identifiers":[{"type":"dns","value":"a\u0000.test"}]}'), 400, "malformed"),
    "no identifiers": (said(b"{}"), 400, "malformed"),
    "identifiers no list": (said(b'{"identifiers":{"type":"dns","value":"a.test"}}'), 400, "malformed"),
    "identifier no object": (said(b'{"identifiers":["a.test"]}'), 400, "malformed"),
    "too many": (
        said(msgspec.json.encode({"identifiers": [{"type": "dns", "value": f"n{n}.test"} for n in range(101)]})),
        400, "rejectedIdentifier",
    ),
    "of a strange type": (
        said(b'{"identifiers":[{"type":"permanent-identifier","value":"x"}]}'), 400, "unsupportedIdentifier",
    ),
    "address as a name": (said(b'{"identifiers":[{"type":"dns","value":"127.0.0.1"}]}'), 400, "malformed"),
    "name as an address": (said(b'{"identifiers":[{"type":"ip","value":"a.test"}]}'), 400, "malformed"),
    "address in long form": (said(b'{"identifiers":[{"type":"ip","value":"::0001"}]}'), 400, "malformed"),
    "several bad ones": (
        said(b'{"identifiers":[{"type":"dns","value":"a b"},{"type":"uri","value":"x"}]}'),
        400, "compound",
    ),
    "unknown profile": (said(msgspec.json.encode({**PAYLOAD, "profile": "root-ca"})), 400, "invalidProfile"),
    "profile no string": (said(msgspec.json.encode({**PAYLOAD, "profile": ["tls-server"]})), 400, "invalidProfile"),
}  # fmt: skip
NAMES = (
    "", ".", "*", "*.", "*.test", "a..test", ".a.test", "a.test.", "a_b.test", "a.*.test", "*a.test", "*.*.test",
    "-a.test", "a-.test", "xn--.test", "xn--99999999999.test", "ab--c.test", "bücher.test", "a.test\n",
    "a\u200b.test", "٣.test",
    "a" * 64 + ".test", ".".join(["a" * 60] * 5), "1.2.3.4", "0x7f.1", "2130706433", "a.test:80", "http://a.test",
    "a@test", "a/b.test", "a%2eb.test", "'; DROP TABLE acme_order; --",
)  # fmt: skip


async def test_every_hostile_message_gets_its_problem_and_leaves_nothing(door: Door) -> None:
    client = await door.client()
    before = await door.everything()
    for name, (spoil, status, short) in MESSAGES.items():
        body, content_type = spoil(door, client)
        got, problem, answer = await door.post(NEW_ORDER, body, content_type=content_type)
        assert (got, problem["type"].rpartition(":")[2]) == (status, short), name
        assert answer.header("content-type") == "application/problem+json", name
        assert len(answer.headers["replay-nonce"]) == 1, name
        assert problem["status"] == status
        if short == "badSignatureAlgorithm":
            assert problem["algorithms"]
        if short == "compound":
            assert [one["identifier"]["value"] for one in problem["subproblems"]] == ["a b", "x"]
    assert await door.everything() == before
    assert (await client.new_order([("dns", "good.test")])).status == "pending"


async def test_every_hostile_name_is_refused_with_itself_named(door: Door) -> None:
    client = await door.client()
    before = await door.everything()
    for name in NAMES:
        body = door.signed(client, NEW_ORDER, {"identifiers": [{"type": "dns", "value": name}]})
        status, problem, answer = await door.post(NEW_ORDER, body)
        assert (status, problem["type"].rpartition(":")[2]) == (400, "malformed"), name
        assert problem["subproblems"][0]["identifier"] == {"type": "dns", "value": name[:255]}
        assert b"\n" not in answer.body
    assert await door.everything() == before


async def test_a_body_over_the_limit_is_not_read(door: Door) -> None:
    client = await door.client()
    for body in (b"{" + b" " * 70_000, b"A" * 1_000_000):
        status, problem, _ = await door.post(NEW_ORDER, body)
        assert (status, problem["type"].rpartition(":")[2]) == (413, "malformed")
    assert (await client.account()).status == "valid"


async def test_a_refused_message_burns_its_nonce_only_if_its_key_was_right(door: Door) -> None:
    client = await door.client()
    nonce = door.nonces.issue()
    body, _ = spoilt(lambda flat: {**flat, "payload": b64url_encode(b"{}")})(door, client)
    assert (await door.post(NEW_ORDER, body))[1]["reason"] == "acme.jws.signature"
    forged = door.signed(client, NEW_ORDER, PAYLOAD, nonce=nonce)
    flat = json.loads(forged)
    flat["payload"] = b64url_encode(b"{}")
    assert (await door.post(NEW_ORDER, msgspec.json.encode(flat)))[0] == 400
    assert (await door.post(NEW_ORDER, forged))[0] == 201
    assert (await door.post(NEW_ORDER, forged))[1]["reason"] == "acme.jws.nonce"


async def test_a_path_never_writes_a_header(door: Door) -> None:
    for path in ("/acme/\r\nx-evil: 1/directory", "/acme/x>;rel=next/new-order", "/acme/%0d%0a/none", "/acme/"):
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any, into: list[Any] = sent) -> None:
            into.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "client": None}
        await door.lane(scope, receive, send)
        assert sent[0]["status"] in (404, 405)
        for name, value in sent[0]["headers"]:
            assert b"evil" not in value
            assert b"\r" not in name + value
            assert b"\n" not in name + value
            assert b">;rel=next" not in value


async def test_a_wrong_method_is_told_which_are_right(door: Door) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        status, problem, answer = await door.post(NEW_ORDER, b"", method=method)
        assert (status, problem["type"].rpartition(":")[2]) == (405, "malformed")
        assert answer.header("allow") == "OPTIONS, POST"


@pytest.mark.parametrize(
    "jwk",
    [
        None, "key", [], {}, {"kty": "oct", "k": "AA"}, {**JWK, "d": "AA"}, {**JWK, "y": JWK["x"]},
        {**JWK, "crv": "P-224"},
        {**JWK, "x": "AA" + JWK["x"]}, {"kty": "RSA", "e": "AQAB", "n": b64url_encode(b"\xc1" * 128)},
        {"kty": "RSA", "e": "Aw", "n": b64url_encode(b"\xc1" * 256)},
        {"kty": "RSA", "e": "AQAB", "n": b64url_encode(b"\xc1" * 4096)},
    ],
)  # fmt: skip
async def test_a_key_that_must_not_hold_an_account_makes_none(door: Door, jwk: object) -> None:
    key = SigningKey.generate()
    header = {"alg": "ES256", "nonce": door.nonces.issue(), "url": NEW_ACCOUNT, "jwk": jwk}
    status, problem, _ = await door.post(NEW_ACCOUNT, sign_jws(key, header, b"{}"))
    assert status == 400
    assert problem["type"].rpartition(":")[2] in ("badPublicKey", "malformed")
    assert await door.count("acme_account") == 0


INNER: dict[str, dict[str, object]] = {
    "another account": {"account": f"{BASE}/acme/tls-server/acct/1"},
    "no account": {"account": None},
    "another old key": {"oldKey": JWK},
    "no old key": {"oldKey": None},
    "old key with a secret": {"oldKey": {**JWK, "d": "AA"}},
}


async def test_a_key_change_that_does_not_hang_together_changes_nothing(door: Door) -> None:
    client, new = await door.client(), SigningKey.generate()
    url = client.directory.key_change
    good: dict[str, Any] = {"account": client.account_url, "oldKey": dict(client.key.public.jwk)}
    inner = {"alg": "ES256", "jwk": dict(new.public.jwk), "url": url}
    headers: dict[str, dict[str, object]] = {
        "with a nonce": {**inner, "nonce": door.nonces.issue()},
        "with a kid": {**inner, "kid": client.account_url},
        "without its key": {"alg": "ES256", "url": url},
        "for another url": {**inner, "url": NEW_ORDER},
        "with a key that did not sign": {**inner, "jwk": JWK},
    }
    cases = [(name, inner, good | change) for name, change in INNER.items()]
    cases += [(name, header, good) for name, header in headers.items()]
    for name, header, payload in cases:
        body = sign_jws(new, header, msgspec.json.encode(payload))
        status, problem, _ = await door.post(url, door.signed(client, url, body))
        assert (status, problem["type"].rpartition(":")[2]) == (400, "malformed"), name
    for junk in (b"", b"{}", b"x" * 1000, door.signed(client, url, b"")):
        assert (await door.post(url, door.signed(client, url, junk)))[0] == 400
    assert (await client.account()).status == "valid"


def build(
    names: list[x509.GeneralName] | None = None,
    *,
    key: Any = None,
    subject: str = "",
    ca: bool = False,
    extra: x509.ExtensionType | None = None,
) -> bytes:
    with warnings.catch_warnings(action="ignore"):  # X.520 allows 64 letters; the library makes more if it is told to
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject, _validate=False)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    if extra is not None:
        builder = builder.add_extension(extra, critical=False)
    key = key or ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def other_signature(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])


def as_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def requests() -> dict[str, bytes]:
    """Certificate requests that must not become a certificate for ``a.test``."""
    good = build(dns("a.test"))
    return {
        "bad signature": other_signature(good),
        "cut short": good[:-20],
        "with more behind": good + b"\x00",
        "empty": b"",
        "junk": b"\x30\x80" + b"\x00" * 200,
        "a certificate": as_certificate(),
        "RSA 1024": build(dns("a.test"), key=rsa.generate_private_key(65537, 1024)),  # noqa: S505
        "RSA with e=3": build(dns("a.test"), key=rsa.generate_private_key(3, 2048)),
        "DSA": build(dns("a.test"), key=dsa.generate_private_key(2048)),
        "P-192": build(dns("a.test"), key=ec.generate_private_key(ec.SECP192R1())),
        "secp256k1": build(dns("a.test"), key=ec.generate_private_key(ec.SECP256K1())),
        "wants to be an authority": build(dns("a.test"), ca=True),
        "a thousand names": build(dns("a.test", *(f"n{number}.test" for number in range(999)))),
        "one name more": build(dns("a.test", "b.test")),
        "another name": build(dns("b.test")),
        "no name": build(None),
        "another subject": build(dns("a.test"), subject="b.test"),
        "a wildcard": build(dns("*.test")),
        "a wildcard besides": build(dns("a.test", "*.a.test")),
        "non-ASCII name": build([x509.DNSName._init_without_validation("bücher.test")]),
        "name with a NUL": build(dns("a.test\x00.evil.test")),
        "an address besides": build([*dns("a.test"), x509.IPAddress(IPv4Address("127.0.0.1"))]),
        "a mailbox besides": build([*dns("a.test"), x509.RFC822Name("root@a.test")]),
        "a URI besides": build([*dns("a.test"), x509.UniformResourceIdentifier("https://a.test")]),
        "a directory name besides": build([*dns("a.test"), x509.DirectoryName(x509.Name([]))]),
        "a subject of 65 letters": build(dns("a.test"), subject="a" * 60 + ".test"),
    }


async def test_every_hostile_csr_is_bad_and_leaves_the_order_ready(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    before = await door.everything()
    for name, csr in requests().items():
        with pytest.raises(AcmeError) as caught:
            await client.finalize(order, csr)
        assert (caught.value.status, caught.value.problem.short_type) == (400, "badCSR"), name
    for payload in ({}, {"csr": None}, {"csr": ["AA"]}, {"csr": "A A"}, {"csr": "+/=="}, {"csr": "=" * 9}):
        status, problem, _ = await door.post(order.finalize, door.signed(client, order.finalize, payload))
        expected = "badCSR" if payload.get("csr") == "=" * 9 else "malformed"
        assert (status, problem["type"].rpartition(":")[2]) == (400, expected), payload
    assert await door.everything() == before
    assert (await client.order(order.url)).status == "ready"
    assert door.mint.signer.certified == []
    padded = b64url_encode(csr_for(["a.test"])) + "=="
    status, _, _ = await door.post(order.finalize, door.signed(client, order.finalize, {"csr": padded}))
    assert status == 200


async def test_what_a_csr_asks_for_beyond_names_is_not_given(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    wish = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    order = await client.finalize(order, build(dns("A.test", "a.test"), subject="a.test", extra=wish))
    leaf = x509.load_pem_x509_certificates(await client.certificate(order))[0]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


async def test_a_request_larger_than_a_csr_may_be_is_refused(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    payload = {"csr": b64url_encode(b"\x30" * 30_000)}
    status, problem, _ = await door.post(order.finalize, door.signed(client, order.finalize, payload))
    assert (status, problem["type"].rpartition(":")[2]) == (400, "badCSR")


async def test_nothing_secret_is_logged_on_good_days_and_bad(door: Door, logged: Lines) -> None:
    client = await door.client()
    order = await door.issued(client, "a.test")
    failing = await client.new_order([("dns", "b.test"), ("dns", "c.test")])
    first = await client.authorization(failing.authorizations[0])
    second = await client.authorization(failing.authorizations[1])
    for authz, kind in ((first, "http-01"), (second, "tls-alpn-01"), (second, "dns-01")):
        challenge = authz.challenge(kind)
        assert challenge is not None
        door.web_root.tokens[challenge.token] = f"{challenge.token}.{'A' * 43}"
        await client.answer(challenge)
    await door.validate()
    for spoil, _, _ in MESSAGES.values():
        body, content_type = spoil(door, client)
        await door.post(NEW_ORDER, body, content_type=content_type)
    door.mint.signer.fail = RuntimeError("broken")
    ready = await client.new_order([("dns", "a.test")])
    with pytest.raises(AcmeError):
        await client.finalize(ready, csr_for(["a.test"]))
    for csr in requests().values():
        with pytest.raises(AcmeError):
            await client.finalize(ready, csr)
    assert (await client.order(order.url)).status == "valid"
    rows = await door.mint.database.fetch("SELECT challenges FROM acme_authz")
    tokens = [one["token"] for row in rows for one in json.loads(row["challenges"])]
    assert len(tokens) > 8
    text = logged.text()
    assert "acme.refused" in text
    assert "validation.failed" in text
    assert "acme.failed" in text
    for token in tokens:
        assert token not in text
    assert client.key.public.thumbprint not in text
    transport = client._transport
    assert isinstance(transport, LaneTransport)
    nonces = [nonce for answer in transport.answers for nonce in answer.headers.get("replay-nonce", ())]
    assert len(nonces) > 40
    assert not any(nonce in text for nonce in nonces)
    rows = await door.mint.database.fetch("SELECT convert_from(payload, 'UTF8') AS payload FROM ledger_inbox")
    ledger = "\n".join(row["payload"] for row in rows)
    assert not any(token in ledger for token in tokens)


def test_the_payloads_here_are_canonical_base64url() -> None:
    assert b64url_decode(b64url_encode(b'{"identifiers":[]}')) == b'{"identifiers":[]}'
