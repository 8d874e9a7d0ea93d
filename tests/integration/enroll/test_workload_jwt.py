"""Tokens of workloads at the door: whom they speak for, for whom they are, and who has a say in each."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.support.workloads import Workloads
from troth.client.jose import VerifyingKey, b64url_decode
from troth.enroll.workload.jwt_keys import JwtRotation
from troth.enroll.workload.routes import BUNDLE, JWT, STANDING
from troth.pki.jwt_svid import ANNOUNCED, ROTATED
from troth.trust.model import Kind
from troth.trust.standing import Standing


@pytest.fixture
async def rotation(workloads: Workloads) -> JwtRotation:
    """The worker's duty, which has made the first key."""
    made = JwtRotation(workloads.mint.database, workloads.tokens, workloads.mint.clock)  # type: ignore[arg-type]
    assert await made.run_once()
    assert not await made.run_once()
    return made


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return json.loads(b64url_decode(header)), json.loads(b64url_decode(claims))


def verified(token: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    header, claims = read(token)
    (key,) = [one for one in keys if one.get("kid") == header["kid"]]
    assert key["use"] == "jwt-svid"
    signed, _, signature = token.rpartition(".")
    VerifyingKey.from_jwk({name: key[name] for name in ("kty", "crv", "x", "y")}).verify(
        header["alg"], signed.encode(), b64url_decode(signature)
    )
    return claims


async def token(workloads: Workloads, workload: str = "shop", **more: object) -> tuple[int, dict[str, Any]]:
    return await workloads.ask(JWT, {"workload": workload, "audience": ["db"], **more})


async def bundle(workloads: Workloads) -> list[dict[str, str]]:
    status, said = await workloads.call(BUNDLE, b"", method="GET")
    assert status == 200
    return list(said["keys"])


@pytest.mark.usefixtures("rotation")
async def test_a_token_of_minutes_says_who_it_is_of_and_for_whom(workloads: Workloads) -> None:
    status, said = await token(workloads, audience=["db", "queue"], selectors=["unix:uid:1000"])
    assert status == 200, said
    claims = verified(said["token"], await bundle(workloads))
    now = int(workloads.mint.clock.now().timestamp())
    assert claims["sub"] == said["spiffe_id"] == "spiffe://corp.example/production/shop"
    assert (claims["aud"], claims["iat"], claims["exp"]) == (["db", "queue"], now, now + 300)
    assert [one["kid"] for one in said["jwt_keys"]] == [read(said["token"])[0]["kid"]]
    # It is written down with its decision before it exists, and no authority's key had a hand in it.
    rows = await workloads.mint.database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    events = [msgspec.json.decode(row["payload"]) for row in rows]
    (data,) = [one["data"] for one in events if one["kind"] == "workload.jwt_issued"]
    assert (data["spiffe_id"], data["audience"], data["token"]) == (claims["sub"], ["db", "queue"], claims["jti"])
    snapshot = await workloads.mint.database.fetchval("SELECT snapshot FROM decision ORDER BY id DESC LIMIT 1")
    values = {one["path"]: one["value"] for one in msgspec.json.decode(snapshot)["values"]}
    assert (values["evidence.node"], values["evidence.selectors"]) == ("node-1", ["unix:uid:1000"])


@pytest.mark.usefixtures("rotation")
async def test_an_audience_is_mandatory_and_a_life_is_short(workloads: Workloads) -> None:
    for audience in ([], ["a", "a"], ["a\n"], "db", [""], [1], ["x"] * 17, None):
        status, said = await token(workloads, audience=audience)
        assert (status, said["code"]) == (400, said["code"])
        assert said["code"] in ("workload.request", "workload.jwt.audience"), audience
    _, said = await token(workloads, lifetime_seconds=60)
    claims = read(said["token"])[1]
    assert claims["exp"] - claims["iat"] == 60
    _, said = await token(workloads, lifetime_seconds=3600)
    claims = read(said["token"])[1]
    assert claims["exp"] - claims["iat"] == 300  # the door's own bound
    assert (await token(workloads, lifetime_seconds=3601))[0] == 400
    assert workloads.tokens.signed == 2


@pytest.mark.usefixtures("rotation")
async def test_the_judge_is_asked_for_each_token(workloads: Workloads) -> None:
    for workload, code in (
        ("shop", None), ("cart", None), ("vault", "enroll.refused"), ("homeless", "enroll.refused"),
        ("plain", "enroll.refused"), ("nobody", "workload.unknown"), ("node-1", "workload.unknown"),
    ):  # fmt: skip
        status, said = await token(workloads, workload)
        assert (status, said.get("code")) == ((200, None) if code is None else (403, code)), workload
    signed = workloads.tokens.signed
    await workloads.hold("workload", "shop")
    assert (await token(workloads))[1]["code"] == "enroll.refused"
    node = await workloads.subjects.find(Kind.DEVICE, "node-1")
    assert node is not None
    await workloads.orders.set_standing(node.id, Standing.RESTRICTED, person="alice", reason="look")
    assert (await token(workloads, "cart"))[1]["code"] == "enroll.refused"
    await workloads.hold("device", "node-1")
    assert (await token(workloads, "cart"))[1]["code"] == "workload.node.not_good"
    assert workloads.tokens.signed == signed


@pytest.mark.usefixtures("rotation")
async def test_a_restricted_workload_gets_no_longer_than_policy_has_it(workloads: Workloads) -> None:
    shop = await workloads.subjects.find(Kind.WORKLOAD, "shop")
    assert shop is not None
    await workloads.orders.set_standing(shop.id, Standing.RESTRICTED, person="alice", reason="look")
    status, said = await token(workloads)
    claims = read(said["token"])[1]
    assert (status, claims["exp"] - claims["iat"]) == (200, 300)  # policy says an hour, the door five minutes


async def test_keys_are_told_of_before_they_sign_and_until_their_tokens_have_ended(
    workloads: Workloads, rotation: JwtRotation
) -> None:
    clock = workloads.mint.clock
    first = (await token(workloads))[1]["token"]
    clock.advance(ROTATED)
    workloads.agent = await workloads.enrolled("node-1")
    assert await rotation.run_once()
    clock.advance(timedelta(seconds=31))  # what a process has seen of the keys is taken for half a minute
    old, young = [one.key_id for one, _ in workloads.tokens.held]
    _, said = await token(workloads)
    assert read(said["token"])[0]["kid"] == old == read(first)[0]["kid"]
    assert {one["kid"] for one in await bundle(workloads) if one["use"] == "jwt-svid"} == {old, young}
    clock.advance(ANNOUNCED)
    _, said = await token(workloads)
    assert read(said["token"])[0]["kid"] == young
    assert {one["kid"] for one in said["jwt_keys"]} == {old, young}


async def test_without_a_key_or_a_signer_there_are_no_tokens_and_certificates_all_the_same(
    workloads: Workloads,
) -> None:
    status, said = await token(workloads)
    assert (status, said["code"]) == (503, "internal.error")
    workloads.tokens.away = True
    assert (await token(workloads))[0] == 503
    assert (await workloads.svid("shop"))[0] == 200
    status, said = await workloads.ask(STANDING, {"certificates": []})
    assert (status, said["jwt_keys"]) == (200, None)
    assert all(one["use"] == "x509-svid" for one in await bundle(workloads))
