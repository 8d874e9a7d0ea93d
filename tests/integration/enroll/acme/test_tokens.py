"""A platform's token becomes an account: once, for the names of its rule, and with its claims in the decision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.acme_door import BASE, Door, csr_for
from tests.support.platform_tokens import (
    AUDIENCE,
    ISSUER,
    OidcPlatform,
    aws_document,
    azure_document,
    cloud_certificate,
    rsa_key,
    signed_document,
    text,
)
from tests.support.refusals import FENCE, told_without_a_traceback
from troth.client.acme import AcmeClient, ExternalBinding
from troth.client.acme_session import AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.prune import Pruner
from troth.enroll.credentials.model import Wanted
from troth.enroll.tokens import routes
from troth.enroll.tokens.desk import TokenDesk
from troth.enroll.tokens.prune import TokenPruner
from troth.enroll.tokens.routes import TokenDoor
from troth.kit.lane import Lane
from troth.kit.token_settings import AwsIssuer, AzureIssuer, OidcIssuer, TokenRule, TokenSettings

RULES = {
    "shop": TokenRule(
        claims={"repository": "org/shop", "ref": "refs/heads/main"}, names=("shop.test",), directories=("tls-server",)
    ),
    "team": TokenRule(claims={"repository": "org/team"}, names=("{environment}.team.test",)),
    "broken": TokenRule(claims={"repository": "org/broken"}, names=("not a name",)),
    "device": TokenRule(claims={"repository": "org/device"}, names=("d.test",), device="no-such-device"),
}


@dataclass
class Exchange:
    door: Door
    platform: OidcPlatform
    lane: Lane

    async def send(self, body: bytes, client: str = "192.0.2.7") -> tuple[int, dict[str, Any]]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": routes.PATH, "headers": [], "client": (client, 1)}
        await self.lane(scope, receive, send)
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])

    async def token(self, text: str, issuer: str = "github") -> tuple[int, dict[str, Any]]:
        return await self.send(json.dumps({"issuer": issuer, "token": text}).encode())

    async def job(self, **claims: Any) -> tuple[int, dict[str, Any]]:
        return await self.token(self.platform.token(self.platform.claims(self.door.mint.clock.now(), **claims)))

    async def registered(self, said: Mapping[str, Any]) -> AcmeClient:
        from tests.support.acme_door import LaneTransport

        client = await AcmeClient.open(
            said["directories"]["tls-server"], key=SigningKey.generate(), transport=LaneTransport(self.door.lane)
        )
        await client.register(binding=ExternalBinding(said["key_id"], said["hmac_key"], "HS256"))
        return client


@pytest.fixture
def exchange(door: Door, tmp_path: Path) -> Exchange:
    now = door.mint.clock.now()
    region, root = cloud_certificate(rsa_key(), "AWS", now), cloud_certificate(rsa_key(2), "Root", now, ca=True)
    for name, certificate in (("aws.pem", region), ("azure.pem", root)):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    aws_rule = {"all": TokenRule(claims={"region": "eu-central-1"}, names=("{instanceId}.aws.test",))}
    azure_rule = {"all": TokenRule(claims={"sku": "Standard"}, names=("{vmId}.azure.test",))}
    settings = TokenSettings(issuers={
        "github": OidcIssuer(issuer=ISSUER, audience=AUDIENCE, rules=RULES),
        "aws": AwsIssuer(certificates_file=str(tmp_path / "aws.pem"), accounts=("123456789012",), rules=aws_rule),
        "azure": AzureIssuer(roots_file=str(tmp_path / "azure.pem"), subscriptions=("sub-1",), rules=azure_rule),
    })  # fmt: skip
    platform = OidcPlatform()
    desk = TokenDesk(door.mint.database, door.mint.clock, door.enrolling.enrolments, settings, platform)

    async def fail(request: Any, error: Exception) -> Any:
        raise error

    directories = {"tls-server": door.directory()}
    lane = Lane(TokenDoor(desk, door.mint.clock, directories).routes(), on_error=fail)
    return Exchange(door, platform, lane)


async def test_a_jobs_token_opens_an_account_for_its_rules_names(exchange: Exchange) -> None:
    status, said = await exchange.job()
    assert status == 200, said
    assert (said["names"], said["directories"]) == (["shop.test"], {"tls-server": f"{BASE}/acme/tls-server/directory"})
    client = await exchange.registered(said)
    order = await client.new_order([("dns", "shop.test")])
    assert order.status == "ready"  # the credential vouches for the name
    order = await client.finalize(order, csr_for(["shop.test"]))
    assert order.status == "valid"
    row = await exchange.door.mint.database.fetchrow("SELECT snapshot FROM decision ORDER BY id DESC LIMIT 1")
    assert row is not None
    values = {one["path"]: one["value"] for one in msgspec.json.decode(row["snapshot"])["values"]}
    assert values["evidence.token_issuer"] == "github"
    assert values["evidence.token_subject"] == "repo:org/shop:ref:refs/heads/main"
    assert values["evidence.token_claims"] == ["ref=refs/heads/main", "repository=org/shop"]
    with pytest.raises(AcmeError, match="rejectedIdentifier"):
        await client.new_order([("dns", "other.test")])
    with pytest.raises(AcmeError):
        await exchange.registered(said)  # one account, and no second


async def test_a_fenced_installation_refuses_and_the_log_has_no_failure(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fenced(*_: object, **__: object) -> None:
        raise FENCE

    monkeypatch.setattr(exchange.door.enrolling.enrolments, "create", fenced)
    with told_without_a_traceback("token.failed"):
        status, said = await exchange.job()
    assert (status, said["code"]) == (503, "internal.error")
    assert "yesterday" not in json.dumps(said)


async def test_a_token_counts_once_however_many_send_it(exchange: Exchange) -> None:
    token = exchange.platform.token(exchange.platform.claims(exchange.door.mint.clock.now()))
    answers = await asyncio.gather(*(exchange.token(token) for _ in range(6)))
    assert sorted(status for status, _ in answers) == [200, 403, 403, 403, 403, 403]
    assert {said["code"] for status, said in answers if status != 200} == {"enroll.token.used"}
    assert await exchange.door.mint.database.fetchval("SELECT count(*) FROM enrolment") == 1
    # Signed anew under the same jti it is still the same; without a jti the token itself is.
    again = exchange.platform.token(exchange.platform.claims(exchange.door.mint.clock.now(), more=1))
    assert (await exchange.token(again))[1]["code"] == "enroll.token.used"
    bare = exchange.platform.token(exchange.platform.claims(exchange.door.mint.clock.now(), jti=None))
    assert (await exchange.token(bare))[0] == 200
    assert (await exchange.token(bare))[1]["code"] == "enroll.token.used"


async def test_what_was_used_is_forgotten_when_nobody_could_show_it_any_more(exchange: Exchange) -> None:
    await exchange.job()
    exchange.door.mint.clock.advance(timedelta(hours=2))
    await exchange.job(jti="another")
    assert await exchange.door.mint.database.fetchval("SELECT count(*) FROM token_used") == 1


async def test_the_credential_lives_for_minutes(exchange: Exchange) -> None:
    _, said = await exchange.job()
    exchange.door.mint.clock.advance(timedelta(seconds=601))
    with pytest.raises(AcmeError):
        await exchange.registered(said)


async def test_what_tokens_opened_goes_when_it_is_over_and_not_before(exchange: Exchange) -> None:
    door, clock = exchange.door, exchange.door.mint.clock
    pruner = TokenPruner(door.mint.database, clock, keep=timedelta(days=10), step=2)
    orders = Pruner(door.mint.database, clock, keep=timedelta(days=10))
    made = [(await exchange.job(jti=f"job-{n}"))[1] for n in range(5)]
    by_hand = await door.enrolling.enrolments.create(
        Wanted(kind="external-account", name="web", seconds=60, vouches=False), by="admin:alice"
    )
    used = await exchange.registered(made[0])
    order = await used.new_order([("dns", "shop.test")])
    assert (await used.finalize(order, csr_for(["shop.test"]))).status == "valid"
    await exchange.registered(made[1])  # an account that never ordered

    async def counts() -> tuple[int, int, int]:
        return await door.count("token_evidence"), await door.count("enrolment"), await door.count("acme_account")

    async def all_steps() -> int:
        return sum([await pruner.run_once() for _ in range(4)])

    clock.advance(timedelta(days=9))
    assert (await all_steps(), await counts()) == (0, (5, 6, 2))
    clock.advance(timedelta(days=2))
    young = (await exchange.job(jti="young"))[1]
    # The one whose certificate lives stays, and so do what is young and what a person made.
    assert (await all_steps(), await counts()) == (4, (2, 3, 1))
    assert (await used.new_order([("dns", "shop.test")])).status == "ready"
    with pytest.raises(AcmeError, match="rejectedIdentifier"):  # still held to its rule
        await used.new_order([("dns", "other.test")])
    await exchange.registered(young)
    clock.advance(timedelta(days=60))
    for _ in range(3):
        await orders.run_once()
    assert (await all_steps(), await counts()) == (2, (0, 1, 0))
    assert await door.mint.database.fetchval("SELECT id FROM enrolment") == by_hand.enrolment.id
    with pytest.raises(AcmeError, match="accountDoesNotExist"):
        await used.new_order([("dns", "shop.test")])


_UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"repository": "org/evil"}, "enroll.token.no_rule"),
    ({"ref": "refs/heads/feature"}, "enroll.token.no_rule"),
    ({"sub": None}, "enroll.token.claim"),
    ({"aud": "somebody else"}, "enroll.token.claim"),
    ({"exp": 1}, "enroll.token.time"),
    ({"repository": "org/team", "environment": "a.b"}, "enroll.token.claim"),
    ({"repository": "org/broken"}, "enroll.token.no_rule"),
    ({"repository": "org/device"}, "enroll.token.no_rule"),
]


async def test_a_token_that_does_not_fit_opens_nothing(exchange: Exchange) -> None:
    for claims, code in _UNFIT:
        status, said = await exchange.job(**claims)
        assert (status, said["code"]) == (403, code), claims
    assert await exchange.door.mint.database.fetchval("SELECT count(*) FROM enrolment") == 0
    assert await exchange.door.mint.database.fetchval("SELECT count(*) FROM token_used") == 0


async def test_a_claim_fills_in_its_name(exchange: Exchange) -> None:
    assert (await exchange.job(repository="org/team"))[1]["names"] == ["production.team.test"]


async def test_a_forged_token_and_a_stranger_are_refused(exchange: Exchange) -> None:
    claims = exchange.platform.claims(exchange.door.mint.clock.now())
    forged = exchange.platform.token(claims, key=SigningKey.wrap(rsa_key(1)))
    assert (await exchange.token(forged))[1]["code"] == "enroll.token.signature"
    unknown = exchange.platform.token(claims, kid="k9", key=SigningKey.wrap(rsa_key(1)))
    assert (await exchange.token(unknown))[1]["code"] == "enroll.token.signature"
    assert (await exchange.token("a.b.c", issuer="nobody"))[1]["code"] == "enroll.token.issuer"
    # A token of one issuer is none of another.
    assert (await exchange.token(exchange.platform.token(claims), issuer="aws"))[1]["code"] == "enroll.token.malformed"
    for body in (b"", b"[]", b"{}", b'{"issuer":"github"}', b'{"issuer":"github","token":"a","more":1}', b"\xff"):
        assert (await exchange.send(body))[1]["code"] == "enroll.token.request"


async def test_an_issuer_that_is_away_is_told_as_such(exchange: Exchange) -> None:
    from troth.kit.http import TIMEOUT, HttpFailed

    exchange.platform.fails = HttpFailed(TIMEOUT, "as the test wishes")
    status, said = await exchange.job()
    assert (status, said["code"]) == (503, "enroll.token.keys")


async def test_a_network_has_its_allowance(exchange: Exchange) -> None:
    for _ in range(routes.PER_NETWORK):
        assert (await exchange.send(b""))[0] == 400
    assert (await exchange.send(b""))[1]["code"] == "enroll.token.too_many"
    assert (await exchange.send(b"", client="192.0.2.8"))[0] == 400


async def test_machines_of_clouds_get_credentials_for_their_names(exchange: Exchange) -> None:
    now = exchange.door.mint.clock.now()
    region = x509.load_pem_x509_certificate(_pem(exchange, "aws"))
    document = signed_document(aws_document(now), region, rsa_key(), send=False)
    status, said = await exchange.token(text(document), issuer="aws")
    assert (status, said.get("names")) == (200, ["i-0123456789abcdef0.aws.test"]), said
    again = signed_document(aws_document(now, privateIp="10.0.0.2"), region, rsa_key(), send=False)
    assert (await exchange.token(text(again), issuer="aws"))[1]["code"] == "enroll.token.used"
    root = x509.load_pem_x509_certificate(_pem(exchange, "azure"))
    leaf = cloud_certificate(rsa_key(1), "metadata.azure.com", now, issuer=(root, rsa_key(2)))
    attested = signed_document(azure_document(now), leaf, rsa_key(1))
    status, said = await exchange.token(text(attested), issuer="azure")
    assert (status, said.get("names")) == (200, ["d3e0e374-fda6-4649-bbc9-7f20dc379f34.azure.test"]), said


def _pem(exchange: Exchange, name: str) -> bytes:
    desk = exchange.lane.routes[0].methods["POST"].__self__._desk  # type: ignore[attr-defined]
    settings = desk._settings.issuers[name]
    return Path(getattr(settings, "certificates_file", "") or settings.roots_file).read_bytes()
