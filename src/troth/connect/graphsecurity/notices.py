"""What Graph pushes: the handshake of a subscription, notices of change, and of the subscription's own life.

A notice says that there is something to be seen, and proves it by the ``clientState`` that Troth chose; what there is
to be seen is then read. Graph wants an answer within three seconds and drops what it could not deliver for four hours;
a notice that is lost costs no more than ``poll_seconds``.

Source: Microsoft Graph, change notifications and lifecycle notifications, as of 2026.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from troth.connect.api import shaped
from troth.connect.connector import Pushed, Wiring
from troth.connect.errors import PUSH_UNAUTHENTICATED, PUSH_UNREADABLE, ConnectorError, PushRefused
from troth.kit.lane import Request, Response

_TEXT: Final = (
    (b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
_MAX_TOKEN: Final = 1024
_MAX_NOTICES: Final = 1000
#: ``lifecycleEvent`` → the reads that look at once. One that nobody knows has both look.
_LIFECYCLE: Final = {
    "missed": ("alerts",), "reauthorizationRequired": ("subscription",), "subscriptionRemoved": ("subscription",),
}  # fmt: skip


class _Notice(msgspec.Struct, rename={"state": "clientState", "lifecycle": "lifecycleEvent"}):
    state: str | None = ""
    lifecycle: str | None = ""


class _Notices(msgspec.Struct):
    value: Sequence[Any] = ()


def read(wiring: Wiring, request: Request) -> Pushed:
    """What a request to the notification address brings. Raises PushRefused."""
    if "client_state" not in wiring.secrets or not wiring.options.notify_url or request.method != "POST":
        raise PushRefused(PUSH_UNAUTHENTICATED)
    good = wiring.shared("client_state")
    if b"validationToken=" in request.query:
        return _validation(request.query)
    try:
        notices = [shaped(one, _Notice) for one in shaped(msgspec.json.decode(request.body), _Notices).value]
    except (ConnectorError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PushRefused(PUSH_UNREADABLE, "no change notification's JSON") from error
    if not notices or len(notices) > _MAX_NOTICES:
        raise PushRefused(PUSH_UNREADABLE, f"1 to {_MAX_NOTICES} notices were expected")
    proved = [any(hmac.compare_digest((one.state or "").encode(), state) for state in good) for one in notices]
    if not all(proved):
        raise PushRefused(PUSH_UNAUTHENTICATED)
    due: set[str] = set()
    for one in notices:
        due |= set(_LIFECYCLE.get(one.lifecycle, ("alerts", "subscription")) if one.lifecycle else ("alerts",))
    # A notice of the subscription's life says nothing about whether alerts come.
    heard = any(not one.lifecycle for one in notices)
    return Pushed(response=Response(202, b"", ((b"cache-control", b"no-store"),)), heartbeat=heard, due=sorted(due))


def _validation(query: bytes) -> Pushed:
    """Says back what it is told, as plain text: so Graph knows that somebody here wants its notices."""
    tokens = parse_qs(query.decode("ascii", "replace")).get("validationToken", [])
    if len(tokens) != 1 or len(tokens[0]) > _MAX_TOKEN or not tokens[0].isprintable():
        raise PushRefused(PUSH_UNAUTHENTICATED)
    return Pushed(response=Response(200, tokens[0].encode(), _TEXT), heartbeat=False)
