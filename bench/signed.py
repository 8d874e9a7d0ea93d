"""One signed signal over a kept connection, as a sender in the field makes it (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Protocol


class Posts(Protocol):
    """A connection."""

    async def post(self, path: str, body: bytes, headers: str) -> tuple[int, bytes]:
        """Status and body."""
        ...


async def post_signal(wire: Posts, feed: str, secret: bytes, number: int, device: str, kind: str) -> tuple[int, bytes]:
    """Send it; returns the status and the body of the answer."""
    now = time.time()
    body = json.dumps(
        {
            "kind": kind,
            "subject": {"kind": "device", "name": device},
            "observed_at": datetime.fromtimestamp(now, UTC).isoformat(),
            "evidence": "bench",
        }
    ).encode()
    message_id = f"msg_{feed}_{number}"
    signed = f"{message_id}.{int(now)}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    headers = (
        f"webhook-id: {message_id}\r\nwebhook-timestamp: {int(now)}\r\nwebhook-signature: v1,{signature}\r\n"
        "content-type: application/json\r\n"
    )
    return await wire.post(f"/signals/{feed}", body, headers)
