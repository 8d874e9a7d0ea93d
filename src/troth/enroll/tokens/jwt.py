"""A JSON Web Token in compact form (RFC 7519, RFC 7515, 7.1), taken apart strictly and held against a key.

By our own small verifier in ``client.compact``: canonical base64url, members unique at every depth, no ``none`` and no
HMAC, the algorithm from the configuration's list and fitting the key, ``crit`` refused. Keys named in the token itself
(``jwk``, ``jku``, ``x5c``) are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from troth.client.compact import CompactJws
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.tokens.errors import (
    TOKEN_CLAIM,
    TOKEN_MALFORMED,
    TOKEN_SIGNATURE,
    TOKEN_TIME,
    TokenRefused,
)

MAX_TOKEN = 16_384
_FAR = 1 << 40


class Token:
    """A token, decoded and not believed before :meth:`verify`."""

    def __init__(self, parts: CompactJws) -> None:
        self._parts = parts
        self.header = parts.header
        self.claims = parts.claims
        self.signing_input = parts.signing_input

    @classmethod
    def parse(cls, text: str) -> Token:
        """Take ``text`` apart. Raises TokenRefused."""
        try:
            return cls(CompactJws.parse(text, limit=MAX_TOKEN))
        except JoseError as error:
            raise TokenRefused(TOKEN_MALFORMED, error.detail) from error

    @property
    def algorithm(self) -> str:
        """``alg``; empty if there is none."""
        return self._parts.text_of("alg") or ""

    @property
    def key_id(self) -> str | None:
        """``kid``."""
        return self._parts.text_of("kid")

    def verify(self, key: VerifyingKey, algorithms: Collection[str]) -> None:
        """Hold it against ``key``. Raises TokenRefused."""
        if self.algorithm not in algorithms:
            raise TokenRefused(
                TOKEN_SIGNATURE, f"it is signed with {self.algorithm[:20]!r}, not {', '.join(algorithms)}"
            )
        try:
            self._parts.verify(key)
        except JoseError as error:
            raise TokenRefused(TOKEN_SIGNATURE, error.detail) from error

    def check(self, *, issuer: str, audience: str, now: datetime, skew: timedelta, max_age: timedelta) -> datetime:
        """Hold issuer, audience and times against what is asked for; until when it could be shown.

        Raises TokenRefused. ``exp`` and ``iat`` must be there: without them a stolen token would be good for ever.
        """
        if self.claims.get("iss") != issuer:
            raise TokenRefused(TOKEN_CLAIM, "iss is not this issuer's")
        audiences = self.claims.get("aud")
        if audience not in (audiences if isinstance(audiences, list) else [audiences]):
            raise TokenRefused(TOKEN_CLAIM, f"aud is not {audience}")
        expires, issued = self._time("exp"), self._time("iat")
        if now >= expires + skew:
            raise TokenRefused(TOKEN_TIME, "it has expired")
        if issued > now + skew:
            raise TokenRefused(TOKEN_TIME, "it is from the future")
        if "nbf" in self.claims and self._time("nbf") > now + skew:
            raise TokenRefused(TOKEN_TIME, "it is not in force yet")
        if now >= issued + max_age + skew:
            raise TokenRefused(TOKEN_TIME, f"it is older than {int(max_age.total_seconds())} s")
        return min(expires, issued + max_age) + skew

    def _time(self, name: str) -> datetime:
        value = self.claims.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _FAR:
            raise TokenRefused(TOKEN_CLAIM, f"{name} is missing, or no time")
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise TokenRefused(TOKEN_CLAIM, f"{name} is no time") from error
