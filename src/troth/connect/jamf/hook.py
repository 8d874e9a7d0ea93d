"""Jamf's webhooks: they sign nothing, tell little, are not sent again. What they are about is read, not believed."""

from __future__ import annotations

import base64
import hmac
from typing import Final

import msgspec

from troth.connect.api import shaped
from troth.connect.connector import Pushed, Wiring
from troth.connect.errors import PUSH_UNAUTHENTICATED, PUSH_UNREADABLE, ConnectorError, PushRefused
from troth.connect.jamf.mapping import HOOKS
from troth.kit.lane import Request, Response

_NO_STORE: Final = ((b"cache-control", b"no-store"),)


class _About(msgspec.Struct, rename={"event": "webhookEvent"}):
    event: str


class _Message(msgspec.Struct):
    webhook: _About


def read(wiring: Wiring, request: Request) -> Pushed:
    """What a webhook has looked at. Raises PushRefused."""
    if "webhook_secret" not in wiring.secrets or request.method != "POST":
        raise PushRefused(PUSH_UNAUTHENTICATED)
    given = request.headers.get("authorization", "").encode("latin-1", "replace")
    known = [one for secret in wiring.shared("webhook_secret") for one in (secret, _basic(secret))]
    if not any([hmac.compare_digest(given, one) for one in known]):  # noqa: C419 -- all of them, whichever fits
        raise PushRefused(PUSH_UNAUTHENTICATED)
    try:
        event = shaped(msgspec.json.decode(request.body), _Message).webhook.event
    except (ConnectorError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PushRefused(PUSH_UNREADABLE, "no webhook's JSON: choose JSON, not XML") from error
    # That Jamf is there to send says nothing about whether its inventory can be read: it is no heartbeat.
    return Pushed(response=Response(202, b"", _NO_STORE), heartbeat=False, due=HOOKS.get(event, ()))


def _basic(pair: bytes) -> bytes:
    return b"Basic " + base64.b64encode(pair)
