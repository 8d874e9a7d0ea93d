"""The generic webhook as its sender meets it: over the push door, on a real database."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors.harness import Connected
from troth.connect.errors import ConnectorError, ConnectorInvalid
from troth.trust.feeds import health_store
from troth.trust.intake import inbox_store
from troth.trust.standing import Standing

OPTIONS: dict[str, Any] = {
    "verify": {"scheme": "hmac-sha256"},
    "message_id": "header:x-delivery",
    "kind": {"path": "/type", "values": {"cut": "edr.contained", "back": "edr.containment_lifted"}},
    "whom": [{"device": "/host"}],
    "cause": "/case",
}

SECRET = "a-secret-that-only-the-sender-knows"


@pytest.fixture
async def laptop(connected: Connected) -> UUID:
    await connected.connect(None, "generic", options=OPTIONS, secrets={"push": SECRET})
    return await connected.trust.subject("laptop-1")


async def send(connected: Connected, body: Any, *, secret: str = SECRET, delivery: str = "d1", path: str = "") -> int:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    mac = hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={mac}", "X-Delivery": delivery}
    return (await connected.push(path or "/connect/generic/it", data, headers=headers)).status


async def test_a_message_is_durable_when_it_is_answered_and_acted_on_afterwards(
    connected: Connected, laptop: UUID
) -> None:
    assert await send(connected, {"type": "cut", "host": "laptop-1", "case": "c1"}) == 202
    assert len(await inbox_store.due(connected.trust.database, connected.clock.now(), 9)) == 1
    assert await connected.trust.standing(laptop) is Standing.TRUSTED
    await connected.act()
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    assert await send(connected, {"type": "cut", "host": "laptop-1", "case": "c1"}) == 202
    await send(connected, {"type": "back", "host": "laptop-1", "case": "c1"}, delivery="d2")
    await connected.act()
    assert await connected.kinds() == ["edr.contained", "edr.containment_lifted"]
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_who_cannot_sign_learns_nothing_and_is_no_sign_of_life(connected: Connected, laptop: UUID) -> None:
    body = {"type": "cut", "host": "laptop-1"}
    for path in ("/connect/generic/nobody", "/connect/crowdstrike/it", "/connect/generic/IT", "/connect/x/%00"):
        assert await send(connected, body, path=path) == 401
    assert await send(connected, body, secret="wrong") == 401
    await connected.connect(None, "generic", name="bare", options=OPTIONS)
    assert await send(connected, body, path="/connect/generic/bare") == 401
    await connected.desk.pause("it", paused=True, reason="x", actor="admin:alice")
    assert await send(connected, body) == 401
    assert await inbox_store.due(connected.trust.database, connected.clock.now(), 9) == []
    assert not (await health_store.heard(connected.trust.database))[0].spoke
    await connected.desk.pause("it", paused=False, reason="", actor="admin:alice")
    assert await send(connected, body) == 202
    assert (await health_store.heard(connected.trust.database))[0].spoke


async def test_a_new_secret_and_a_new_mapping_count_from_the_next_message(connected: Connected, laptop: UUID) -> None:
    body = {"type": "cut", "host": "laptop-1"}
    assert await send(connected, body) == 202
    await connected.desk.set_secret("it", "push", b"another-that-is-long\n", actor="admin:alice")
    assert await send(connected, body) == 202
    assert await send(connected, body, secret="another-that-is-long") == 202
    connected.clock.advance(timedelta(hours=24))
    assert await send(connected, body) == 401
    await connected.desk.set_secret("it", "push", b"third-that-is-long", actor="admin:alice", leaked=True)
    assert await send(connected, body, secret="another-that-is-long") == 401
    assert await send(connected, body, secret="third-that-is-long") == 202
    mapping = OPTIONS | {"kind": {"default": "generic.raised"}}
    await connected.connect(None, "generic", options=mapping)
    await send(connected, body, secret="third-that-is-long", delivery="d9")
    await connected.act()
    assert await connected.kinds() == ["edr.contained", "generic.raised"]


async def test_a_secret_that_could_be_guessed_is_refused(connected: Connected, laptop: UUID) -> None:
    with pytest.raises(ConnectorError) as caught:
        await connected.desk.set_secret("it", "push", b"fifteen-letters", actor="admin:alice")
    assert caught.value.code == "connector.secret_invalid"
    assert await send(connected, {"type": "cut", "host": "laptop-1"}) == 202, "the former one stays"


async def test_what_is_no_json_is_400_and_what_means_nobody_is_kept(connected: Connected, laptop: UUID) -> None:
    assert await send(connected, b"{") == 400
    assert await send(connected, {"type": "cut"}) == 202
    assert [one.refused for one in await inbox_store.refused(connected.trust.database)] == ["connector.answer"]


async def test_a_get_is_no_message(connected: Connected, laptop: UUID) -> None:
    assert (await connected.push("/connect/generic/it", method="GET")).status == 401


async def test_a_connector_needs_its_feed(connected: Connected) -> None:
    from troth.connect.definition import parse_connectors

    text = json.dumps({"connectors": [{"name": "a", "vendor": "generic", "feed": "none", "options": OPTIONS}]})
    with pytest.raises(ConnectorInvalid, match="no feed"):
        await connected.desk.apply(parse_connectors(text), actor="admin:alice")
    planned = await connected.desk.preview(parse_connectors(text), coming=frozenset({"none"}))
    assert planned[0].missing == ("push",)
