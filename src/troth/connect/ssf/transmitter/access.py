"""Who a receiver is: OAuth client credentials (RFC 6749, 4.4) for access tokens of an hour, and bearer tokens then.

An access token is sealed, not stored: name, scopes, end, and the generation of the secret that it was got by; a new
secret ends the tokens of the former one. The interoperability profile's scopes: ``ssf.manage``, ``ssf.read``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus

import msgspec

from troth.connect.ssf.transmitter import store
from troth.connect.ssf.transmitter.errors import SCOPE_MISSING, UNAUTHORIZED, refused
from troth.connect.ssf.transmitter.model import Receiver
from troth.kit.clock import Clock
from troth.kit.lane import Request
from troth.kit.sealing import SealBroken, SecretBox
from troth.store.pool import Database
from troth.trust.feeds.model import is_feed_name

MANAGE: Final = "ssf.manage"
READ: Final = "ssf.read"
LIFETIME: Final = timedelta(hours=1)
_NOBODY: Final = b"\0" * 32
_MAX_SECRET = 500


class _Access(msgspec.Struct, frozen=True):
    receiver: str
    generation: int
    scopes: tuple[str, ...]
    until: int


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token, and for how many seconds."""

    token: str
    seconds: int
    scope: str


class ReceiverAccess:
    """Proves receivers."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox) -> None:
        self._database = database
        self._clock = clock
        self._box = box

    async def grant(self, request: Request) -> Granted:
        """An access token for whoever proves by id and secret, in the header or the form (RFC 6749, 2.3.1).

        Raises ReceiverRefused (``ssf.receiver.unauthorized``).
        """
        form = {name: values[0] for name, values in _form(request).items()}
        name, secret = _basic(request.headers.get("authorization", "")) or (
            form.get("client_id", ""), form.get("client_secret", ""),
        )  # fmt: skip
        receiver = await self._find(name)
        known = receiver.secret_digest if receiver is not None else None
        good = hmac.compare_digest(secret_digest(secret), known or _NOBODY)
        if not good or receiver is None or known is None or form.get("grant_type") != "client_credentials":
            raise refused(UNAUTHORIZED)
        asked = form.get("scope", f"{READ} {MANAGE}").split()
        scopes = tuple(one for one in (READ, MANAGE) if any(_covers(word, one) for word in asked))
        if not scopes:
            raise refused(SCOPE_MISSING)
        until = int((self._clock.now() + LIFETIME).timestamp())
        access = _Access(receiver.name, receiver.generation, scopes, until)
        sealed = self._box.seal("access", msgspec.json.encode(access))
        token = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        return Granted(token, int(LIFETIME.total_seconds()), " ".join(scopes))

    async def prove(self, request: Request, scope: str) -> Receiver:
        """The receiver whose bearer token stands in the header (RFC 6750, 2.1; never in the query).

        Raises ReceiverRefused: ``ssf.receiver.unauthorized``, or ``ssf.receiver.scope`` for one that may only read.
        """
        word, _, token = request.headers.get("authorization", "").partition(" ")
        access = self._open(token.strip()) if word.lower() == "bearer" and len(token) <= 2_048 else None
        receiver = await self._find(access.receiver) if access is not None else None
        if access is None or receiver is None or access.generation != receiver.generation:
            raise refused(UNAUTHORIZED)
        if access.until <= self._clock.now().timestamp() or receiver.secret_digest is None:
            raise refused(UNAUTHORIZED)
        if scope not in access.scopes and not (scope == READ and MANAGE in access.scopes):
            raise refused(SCOPE_MISSING)
        return receiver

    async def _find(self, name: str) -> Receiver | None:
        return await store.find_receiver(self._database, name) if is_feed_name(name) else None

    def _open(self, token: str) -> _Access | None:
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            return msgspec.json.decode(self._box.open("access", sealed), type=_Access)
        except (SealBroken, binascii.Error, ValueError, msgspec.MsgspecError):
            return None


def new_secret() -> tuple[str, bytes]:
    """A client secret of 256 random bits, and by which it is known again."""
    secret = secrets.token_urlsafe(32)
    return secret, secret_digest(secret)


def secret_digest(secret: str) -> bytes:
    """What has 256 random bits needs no salt and no slow hash."""
    return hashlib.sha256(secret[:_MAX_SECRET].encode()).digest()


def _covers(word: str, scope: str) -> bool:
    """``ssf.manage`` and what the profile lets be postfixed to it: ``ssf.manage.create``."""
    return word == scope or word.startswith(f"{scope}.")


def _form(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return {}
    try:
        return parse_qs(request.body.decode("ascii"), max_num_fields=16, strict_parsing=True)
    except ValueError:
        return {}


def _basic(header: str) -> tuple[str, str] | None:
    word, _, text = header.partition(" ")
    if word.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return None
    return unquote_plus(name), unquote_plus(secret)
