"""Tokens: asked for once, renewed in time, and never told to anybody."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from troth.client.jose import VerifyingKey, b64url_decode
from troth.connect.errors import ConnectorError
from troth.connect.proof import ClientCredentials, Token, key_of
from troth.kit.clock import FakeClock
from troth.kit.http import Answer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
URL = "https://login.example/token"


class Server:
    """A token endpoint. ``forms``: what it was sent."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.answer: Any = {"access_token": "t", "token_type": "Bearer", "expires_in": 3600, "scope": "a b"}
        self.status = 200

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        await asyncio.sleep(0)
        assert (method, url) == ("POST", URL)
        self.forms.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        self.headers.append(headers or {})
        answer = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return Answer(self.status, {}, answer)


def client(server: Server, clock: FakeClock | None = None, **more: Any) -> ClientCredentials:
    given: dict[str, Any] = {"url": URL, "client_id": "it", "secret": b"s&e"} | more
    return ClientCredentials(server, clock or FakeClock(NOW), **given)


async def test_many_who_need_a_token_at_once_have_it_asked_for_once() -> None:
    server = Server()
    made = client(server, scope="x.read", form={"resource": "r"})
    found = await asyncio.gather(*(made.headers() for _ in range(20)))
    assert {one["authorization"] for one in found} == {"Bearer t"}
    assert server.forms == [
        {"grant_type": "client_credentials", "scope": "x.read", "resource": "r", "client_id": "it",
         "client_secret": "s&e"}
    ]  # fmt: skip
    assert made.granted == ("a", "b")


@pytest.mark.parametrize(("lifetime", "kept"), [(3600, 3539), ("1800", 1739), (40, 29)])
async def test_a_token_is_renewed_before_it_ends(lifetime: Any, kept: int) -> None:
    server, clock = Server(), FakeClock(NOW)
    server.answer["expires_in"] = lifetime
    made = client(server, clock)
    await made.headers()
    clock.advance(timedelta(seconds=kept))
    await made.headers()
    assert len(server.forms) == 1
    clock.advance(timedelta(seconds=2))
    await made.headers()
    assert len(server.forms) == 2


async def test_the_secret_may_stand_in_the_header_encoded_as_the_standard_says() -> None:
    server = Server()
    await client(server, style="basic").headers()
    (headers,) = server.headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"it:s%26e"
    assert "client_secret" not in server.forms[0]


async def test_a_key_proves_the_client_by_an_assertion_for_this_endpoint_and_five_minutes() -> None:
    server, key = Server(), ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    await client(server, secret=None, key=pem, key_id="k1").headers()
    (form,) = server.forms
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form
    head, body, signature = form["client_assertion"].split(".")
    VerifyingKey.from_public_key(key.public_key()).verify("ES256", f"{head}.{body}".encode(), b64url_decode(signature))
    assert json.loads(b64url_decode(head)) == {"alg": "ES256", "typ": "JWT", "kid": "k1"}
    claims = json.loads(b64url_decode(body))
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("it", "it", URL)
    assert claims["exp"] - claims["iat"] == 300
    assert claims["iat"] == int(NOW.timestamp())


@pytest.mark.parametrize(
    ("status", "answer", "code", "told"),
    [
        (401, {"error": "invalid_client"}, "connector.credentials", "invalid_client"),
        (400, b"<html>s&e</html>", "connector.credentials", "400"),
        (400, {"error": "x" * 200}, "connector.credentials", "400"),
        (503, {}, "connector.vendor_failed", "503"),
        (200, b"{", "connector.answer", "6749"),
        (200, {"access_token": 7}, "connector.answer", "6749"),
        (200, {"access_token": "t", "expires_in": "soon"}, "connector.answer", "6749"),
    ],
)
async def test_a_refusal_is_called_by_its_name_and_no_secret_is_in_it(
    status: int, answer: Any, code: str, told: str
) -> None:
    server = Server()
    server.status, server.answer = status, answer
    with pytest.raises(ConnectorError) as caught:
        await client(server).headers()
    assert caught.value.code == code
    assert told in caught.value.detail
    assert "s&e" not in caught.value.detail
    assert "x" * 65 not in caught.value.detail


async def test_a_token_that_a_person_put_here_is_sent_as_it_is_and_not_asked_for_anew() -> None:
    made = Token(b"abc", word="SSWS")
    assert await made.headers() == {"authorization": "SSWS abc"}
    assert not made.refused()


def test_what_is_no_private_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    other = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem in (b"", b"-----BEGIN PRIVATE KEY-----", locked, other):
        with pytest.raises(ConnectorError, match="secret_invalid"):
            key_of(pem)
    with pytest.raises(ConnectorError, match="secret_invalid"):
        Token("pässword".encode())
