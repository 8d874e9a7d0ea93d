"""The webhook as its sender meets it: over the ASGI lane, on a real database and mint."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.support.signals import Trust
from troth.connect.webhook.routes import WebhookDoor
from troth.connect.webhook.signature import sign
from troth.kit.lane import Lane, Request, Response
from troth.trust.signals import signal_store
from troth.trust.standing import Standing


class Sender:
    """Signs and posts, as a vendor would."""

    def __init__(self, trust: Trust) -> None:
        door = WebhookDoor(trust.feeds, trust.desk, trust.clock)
        self.trust = trust
        self.lane = Lane(door.routes(), on_error=self.on_error)

    async def on_error(self, _request: Request, error: Exception) -> Response:
        raise error

    async def post(
        self,
        document: Any,
        secret: str,
        *,
        feed: str = "edr",
        message_id: str = "msg_1",
        skew: int = 0,
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        stamp = str(int(self.trust.clock.now().timestamp()) + skew)
        signature = sign(base64.b64decode(secret.removeprefix("whsec_")), message_id, stamp, body)
        sent = {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature} | (headers or {})
        messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        answers: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            answers.append(message)

        scope = {
            "type": "http", "method": method, "path": f"/signals/{feed}", "query_string": b"",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        }  # fmt: skip
        await self.lane(scope, receive, send)
        start, finish = answers
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        text = finish["body"]
        return start["status"], json.loads(text) if text.startswith(b"{") else {"text": text.decode()}, answered


@pytest.fixture
def sender(trust: Trust) -> Sender:
    return Sender(trust)


def intrusion(sender: Sender, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "edr.intrusion",
        "subject": {"kind": "device", "name": "laptop-1"},
        "observed_at": sender.trust.clock.now().isoformat(),
        "evidence": "credential dumping by lsass.exe",
    } | changes


async def test_a_signed_signal_is_answered_202_when_the_certificate_is_already_held(sender: Sender) -> None:
    secret = await sender.trust.feed()
    laptop = await sender.trust.subject()
    certificate = await sender.trust.certificate(laptop)
    status, answer, headers = await sender.post(intrusion(sender), secret)
    assert status == 202
    assert headers["content-type"] == "application/json"
    (taken,) = await signal_store.signals(sender.trust.database)
    assert answer == {
        "signal_id": str(taken.id),
        "standing": "quarantined",
        "staged": False,
        "effects": ["cause.raised", "standing.changed"],
    }
    assert await sender.trust.status(certificate) == "held"
    assert taken.evidence == "credential dumping by lsass.exe"


async def test_the_same_message_again_is_202_without_effect_even_when_stamped_anew(sender: Sender) -> None:
    secret = await sender.trust.feed()
    await sender.trust.subject()
    document = intrusion(sender)
    first = await sender.post(document, secret)
    second = await sender.post(document, secret, skew=60)
    assert second[:2] == first[:2]
    assert len(await signal_store.signals(sender.trust.database)) == 1


async def test_the_same_id_with_another_body_is_409(sender: Sender) -> None:
    secret = await sender.trust.feed()
    await sender.trust.subject()
    await sender.post(intrusion(sender), secret)
    status, answer, headers = await sender.post(intrusion(sender, evidence="other"), secret)
    assert (status, answer["code"]) == (409, "signal.message_reused")
    assert headers["content-type"] == "application/problem+json"


async def test_an_unknown_feed_a_bad_signature_and_a_missing_header_are_answered_alike(sender: Sender) -> None:
    secret = await sender.trust.feed()
    wrong = "whsec_" + base64.b64encode(b"x" * 32).decode()
    answers = [
        await sender.post(intrusion(sender), secret, feed="nobody"),
        await sender.post(intrusion(sender), secret, feed="a\0b"),
        await sender.post(intrusion(sender), wrong),
        await sender.post(b"not even JSON", wrong),
        await sender.post(intrusion(sender), secret, headers={"webhook-signature": ""}),
        await sender.post(intrusion(sender), secret, headers={"webhook-id": ""}),
        await sender.post(intrusion(sender), secret, headers={"webhook-id": "msg_2"}),
        await sender.post(intrusion(sender), wrong, skew=9_999),
    ]
    assert {status for status, _, _ in answers} == {401}
    assert len({json.dumps(answer) for _, answer, _ in answers}) == 1
    assert await signal_store.signals(sender.trust.database) == []


@pytest.mark.parametrize("skew", [301, -301])
async def test_a_clock_that_is_off_is_refused_and_told_so(sender: Sender, skew: int) -> None:
    secret = await sender.trust.feed()
    status, answer, _ = await sender.post(intrusion(sender), secret, skew=skew)
    assert (status, answer["code"]) == (401, "webhook.stale")


async def test_during_a_change_of_secrets_either_signs(sender: Sender) -> None:
    old = await sender.trust.feed()
    await sender.trust.subject()
    new = await sender.trust.feeds.change_secret("edr", actor="admin:alice")
    for message_id, secret in (("m1", old), ("m2", new)):
        status, _, _ = await sender.post(intrusion(sender), secret, message_id=message_id)
        assert status == 202


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"kind": "edr.explodes"}, 422, "signal.kind_unknown"),
        ({"kind": "mdm.lost"}, 403, "signal.kind_not_granted"),
        ({"subject": {"kind": "workload", "name": "web"}}, 403, "signal.out_of_scope"),
        ({"severity": 500}, 400, "webhook.body_invalid"),
        ({"observed_at": "2031-01-01T00:00:00Z"}, 422, "signal.observed_in_future"),
    ],
)
async def test_a_signal_that_cannot_be_taken_says_why_and_how_to_mend_it(
    sender: Sender, changes: dict[str, Any], status: int, code: str
) -> None:
    secret = await sender.trust.feed(kinds=["edr.*"], scope={"subjects": ["device"]})
    await sender.trust.subject("web", kind="workload")
    answered, answer, _ = await sender.post(intrusion(sender, **changes), secret)
    assert (answered, answer["status"], answer["code"]) == (status, status, code)
    assert answer["fix"]
    assert await signal_store.signals(sender.trust.database) == []


async def test_a_body_over_64_kib_is_413_and_another_method_405(sender: Sender) -> None:
    secret = await sender.trust.feed()
    assert (await sender.post(b"x" * 65_537, secret))[0] == 413
    assert (await sender.post(b"", secret, method="GET"))[0] == 405


async def test_a_hundred_deliveries_at_once_lose_nothing(sender: Sender) -> None:
    secret = await sender.trust.feed(cap={"percent": 100})
    laptops = await sender.trust.subjects(100)
    answers = await asyncio.gather(
        *(
            sender.post(intrusion(sender, subject={"id": str(laptop)}), secret, message_id=f"m{number}")
            for number, laptop in enumerate(laptops)
        )
    )
    assert {(status, answer["standing"]) for status, answer, _ in answers} == {(202, "quarantined")}
    assert [await sender.trust.standing(laptop) for laptop in laptops] == [Standing.QUARANTINED] * 100
