"""A JWK set (RFC 7517) at somebody else's address: kept for an hour, looked up by ``kid``.

A ``kid`` that is not there has the set fetched again, since issuers rotate; but at most once a minute, whoever asks
with whatever. While the issuer cannot be reached the last set serves for a day, and then nothing does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from troth.client.errors import JWKS_ABSENT, JWKS_NO_KEY, JoseError
from troth.client.jose import PublicKey, VerifyingKey
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("client")

KEPT, STALE, PAUSE = 3600.0, 86_400.0, 60.0
_MAX_KEYS, _MAX_SET = 100, 262_144

#: Raises TrothError for a key that is known to be weak.
Check: TypeAlias = "Callable[[PublicKey], object]"


class KeySet:
    """The keys of one issuer.

    Args:
        fetch: gets the set's bytes; what it raises, if it is a TrothError, means that the issuer is away.
        check: a key that it refuses is left out.
        of: whose keys they are, for the log.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], clock: Clock, *, check: Check, of: str) -> None:
        self._fetch = fetch
        self._clock = clock
        self._check = check
        self._of = of
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key with this id; without one, the only key there is. Raises JoseError."""
        await self._fresh(key_id)
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(key_id or "")
        if found is None:
            raise JoseError(JWKS_NO_KEY)
        return found

    async def _fresh(self, key_id: str | None) -> None:
        async with self._lock:
            now = self._clock.monotonic()
            known = key_id is None or key_id in self._keys
            if now - self._fetched < KEPT and (known or now - self._tried < PAUSE):
                return
            if now - self._tried >= PAUSE:
                self._tried = now
                try:
                    self._keys = read_keys(await self._fetch(), check=self._check)
                    self._fetched = now
                except TrothError as error:
                    log.warning("jwks.failed", of=self._of, code=error.code, detail=error.detail)
            if now - self._fetched >= STALE:
                raise JoseError(JWKS_ABSENT, f"of {self._of}")


def read_keys(data: bytes, *, check: Check) -> dict[str, VerifyingKey]:
    """Signing keys by id. Keys of kinds that are not known, for encryption, or refused by ``check`` are left out.

    Raises JoseError for what is no JWK set.
    """
    keys = json_object(data).get("keys") if len(data) <= _MAX_SET else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise JoseError(JWKS_ABSENT, "no JWK set of a bearable size")
    found: dict[str, VerifyingKey] = {}
    for one in keys:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        try:
            key = VerifyingKey.from_jwk(one)
            check(key.public_key)
        except TrothError as error:
            log.info("jwks.key_left_out", code=error.code)
            continue
        key_id = one.get("kid")
        found[key_id if isinstance(key_id, str) else ""] = key
    return found


def json_object(data: bytes) -> Mapping[str, Any]:
    """The JSON object in ``data``. Raises JoseError."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JoseError(JWKS_ABSENT, "the answer is no JSON") from error
    if not isinstance(found, dict):
        raise JoseError(JWKS_ABSENT, "the answer is no JSON object")
    return found
