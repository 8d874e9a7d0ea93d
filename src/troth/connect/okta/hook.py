"""Okta's event hooks: the one-time verification, and the events.

Okta signs nothing: what proves a message is the secret that Okta sends as ``Authorization``, chosen by whoever made
the hook. Events come at least once, in any order; the log brings whatever is missing.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from troth.connect.api import shaped
from troth.connect.connector import Pushed, Wiring, each
from troth.connect.errors import PUSH_UNAUTHENTICATED, PUSH_UNREADABLE, ConnectorError, PushRefused
from troth.connect.okta import mapping
from troth.connect.okta.mapping import Event
from troth.kit.lane import Request, Response
from troth.trust.signals.model import Method

CHALLENGE: Final = "x-okta-verification-challenge"
_MAX_CHALLENGE: Final = 512
#: Okta sends a handful; whoever sends more is not Okta.
_MAX_EVENTS: Final = 500
_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class _Data(msgspec.Struct):
    events: Sequence[Any] = ()


class _Message(msgspec.Struct):
    data: _Data


def read(wiring: Wiring, request: Request) -> Pushed:
    """What a request to the hook's address brings. Raises PushRefused."""
    if "hook_secret" not in wiring.secrets:
        raise PushRefused(PUSH_UNAUTHENTICATED)
    if request.method == "GET":
        return _verification(request)
    given = request.headers.get("authorization", "").encode("latin-1", "replace")
    if not any(hmac.compare_digest(given, secret) for secret in wiring.shared("hook_secret")):
        raise PushRefused(PUSH_UNAUTHENTICATED)
    try:
        events = shaped(msgspec.json.decode(request.body), _Message).data.events
    except (ConnectorError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PushRefused(PUSH_UNREADABLE, "no event hook's JSON") from error
    if len(events) > _MAX_EVENTS:
        raise PushRefused(PUSH_UNREADABLE, f"more than {_MAX_EVENTS} events")
    signals, spoilt = each(
        events,
        lambda item: mapping.event_signal(wiring, shaped(item, Event), method=Method.BEARER),
        name=lambda item: f"log:{item['uuid']}",
    )
    return Pushed(signals, (), spoilt, Response(200, b"{}", _JSON))


def _verification(request: Request) -> Pushed:
    """Says back what it is told, which proves to Okta that somebody here wants its events; to us it proves nothing."""
    challenge = request.headers.get(CHALLENGE, "")
    if not challenge or len(challenge) > _MAX_CHALLENGE or not challenge.isascii() or not challenge.isprintable():
        raise PushRefused(PUSH_UNAUTHENTICATED)
    body = msgspec.json.encode({"verification": challenge})
    return Pushed(response=Response(200, body, _JSON), heartbeat=False)
