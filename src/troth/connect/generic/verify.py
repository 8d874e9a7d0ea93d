"""Proof of where a message comes from: Standard Webhooks, an HMAC over the body, or the secret itself.

Compared in constant time. Only Standard Webhooks says when a message was sent; with the others an old message that
somebody has recorded can be sent again, and counts as the repetition that it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.connect.generic.options import Verify
from troth.connect.webhook.errors import WebhookError
from troth.connect.webhook.signature import Stamp, verify
from troth.kit.lane import Request
from troth.trust.feeds.model import SECRET_PREFIX
from troth.trust.signals.model import Method

_TOLERANCE: Final = timedelta(minutes=5)
_HEADERS: Final = {"hmac-sha256": ("x-hub-signature-256", "sha256="), "bearer": ("authorization", "Bearer ")}


def prove(request: Request, how: Verify, secrets: Sequence[bytes], *, now: datetime) -> Method:
    """How the message was proved by one of ``secrets``. Raises PushRefused."""
    if how.scheme == "standard-webhooks":
        try:
            verify(
                Stamp.of(request.headers),
                request.body,
                secrets=[_key(one) for one in secrets],
                now=now,
                tolerance=_TOLERANCE,
            )
        except WebhookError as error:
            raise PushRefused(PUSH_UNAUTHENTICATED) from error
        return Method.HMAC
    header, prefix = _HEADERS[how.scheme]
    prefix = prefix if how.prefix is None else how.prefix
    given = request.headers.get(how.header.lower() or header, "")
    given = given[len(prefix) :] if given.startswith(prefix) else ""
    if how.scheme == "bearer":
        expected = list(secrets)
        method = Method.BEARER
    else:
        macs = [hmac.digest(one, request.body, hashlib.sha256) for one in secrets]
        expected = [one.hex().encode() if how.encoding == "hex" else base64.b64encode(one) for one in macs]
        given = given.lower() if how.encoding == "hex" else given
        method = Method.HMAC
    good = False
    for one in expected:
        good |= hmac.compare_digest(given.encode("latin-1", "replace"), one)
    if not given or not good:
        raise PushRefused(PUSH_UNAUTHENTICATED)
    return method


def _key(secret: bytes) -> bytes:
    """Standard Webhooks hands its secrets over as ``whsec_`` and base64."""
    text = secret.decode("latin-1")
    if not text.startswith(SECRET_PREFIX):
        return secret
    try:
        # An empty key would let anybody sign.
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True) or secret
    except (binascii.Error, ValueError):
        return secret
