"""Standard Webhooks 1.0 signatures, symmetric (``v1``): HMAC-SHA-256 over ``id.timestamp.body``.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Several signatures may stand in the header, and two secrets may be in force, so that neither side of a rotation has to
move first. The signature is judged before the timestamp: only who can sign is told that its clock is wrong.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from troth.connect.webhook.errors import STALE, UNAUTHENTICATED, Stale, Unauthenticated

#: More would only cost us HMACs.
_MAX_SIGNATURES: Final = 8
_MAX_HEADER: Final = 2_048
_TIMESTAMP = re.compile(r"[0-9]{1,12}\Z")
# The specification forbids a full stop in the id, since it separates id, timestamp and body.
_ID = re.compile(r"[!-\-/-~]{1,200}\Z")
#: Compared against when there is no such feed, so that its absence takes the same time as a bad signature.
_NOBODY: Final = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Stamp:
    """The three headers of a message, as received."""

    message_id: str
    timestamp: str
    signatures: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Stamp:
        """Read from lower-case headers. Raises Unauthenticated if one is missing or beyond its bounds."""
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        signatures = headers.get("webhook-signature", "")
        if not _ID.match(message_id) or not _TIMESTAMP.match(timestamp) or not 0 < len(signatures) <= _MAX_HEADER:
            raise Unauthenticated(UNAUTHENTICATED)
        return cls(message_id, timestamp, signatures)


def sign(secret: bytes, message_id: str, timestamp: int | str, body: bytes) -> str:
    """One ``v1,<base64>`` signature."""
    return "v1," + base64.b64encode(_mac(secret, message_id, str(timestamp), body)).decode()


def verify(stamp: Stamp, body: bytes, *, secrets: Sequence[bytes], now: datetime, tolerance: timedelta) -> None:
    """Return if ``body`` is signed by one of ``secrets`` and stamped within ``tolerance`` of ``now``.

    Raises Unauthenticated or Stale. With no secrets the same work is done in vain.
    """
    given = _given(stamp.signatures)
    good = False
    for secret in secrets or (_NOBODY,):
        expected = _mac(secret, stamp.message_id, stamp.timestamp, body)
        for one in given:
            good |= hmac.compare_digest(expected, one)
    if not good or not secrets:
        raise Unauthenticated(UNAUTHENTICATED)
    stamped = datetime.fromtimestamp(int(stamp.timestamp), UTC) if int(stamp.timestamp) < 32_503_680_000 else None
    if stamped is None or abs(now - stamped) > tolerance:
        seconds = int(tolerance.total_seconds())
        raise Stale(
            STALE,
            f"webhook-timestamp is {stamp.timestamp}, and here it is {int(now.timestamp())}; "
            f"at most {seconds} s apart is taken",
        )


def _mac(secret: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(secret, b"%s.%s." % (message_id.encode(), timestamp.encode()) + body, hashlib.sha256)


def _given(header: str) -> list[bytes]:
    """The ``v1`` signatures of the header; other versions (``v1a`` is asymmetric) are passed over."""
    found: list[bytes] = []
    for word in header.split(" ")[: _MAX_SIGNATURES * 2]:
        version, _, text = word.partition(",")
        if version != "v1":
            continue
        try:
            found.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            continue
    return found[:_MAX_SIGNATURES]
