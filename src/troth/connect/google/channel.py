"""What Google pushes over a notification channel: that there is something new, proved by the token that Troth chose.

Source: Admin SDK, Reports API: push notifications, as of 2026.
"""

from __future__ import annotations

import hmac
from typing import Final

from troth.connect.connector import Pushed, Wiring
from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.kit.lane import Request, Response

_NO_STORE: Final = ((b"cache-control", b"no-store"),)


def read(wiring: Wiring, request: Request) -> Pushed:
    """What a notification has looked at. Raises PushRefused. The body is not read: the log itself is."""
    if "channel_token" not in wiring.secrets or not wiring.options.notify_url or request.method != "POST":
        raise PushRefused(PUSH_UNAUTHENTICATED)
    given = request.headers.get("x-goog-channel-token", "").encode("latin-1", "replace")
    if not any(hmac.compare_digest(given, token) for token in wiring.shared("channel_token")):
        raise PushRefused(PUSH_UNAUTHENTICATED)
    # ``sync`` says that the channel has begun; there is nothing to be seen yet.
    started = request.headers.get("x-goog-resource-state") == "sync"
    due = () if started else tuple(one for one in ("logins", "admin") if one in wiring.options.read)
    return Pushed(response=Response(204, b"", _NO_STORE), heartbeat=not started, due=due)
