"""An issuer's keys (RFC 7517): fetched through the guarded client, kept for an hour, looked up by ``kid``.

A ``kid`` that is not there has the set fetched again, since issuers rotate; but at most once a minute, whoever asks
with whatever. While the issuer cannot be reached the last set serves for a day, and then nothing does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.tokens.errors import TOKEN_KEYS, TOKEN_SIGNATURE, TokenRefused
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.http import Answer
from troth.kit.log import get_logger
from troth.pki.errors import KeyRefused
from troth.pki.keycheck import check_offered

log = get_logger("enroll")

KEPT, STALE, PAUSE = 3600.0, 86_400.0, 60.0
_MAX_KEYS, _MAX_SET = 100, 262_144


class Fetches(Protocol):
    """The guarded client."""

    async def request(self, method: str, url: str) -> Answer:
        """One exchange."""
        ...


class KeySet:
    """The keys of one issuer.

    Args:
        url: of the set; empty: what the issuer's discovery document says.
        file: in place of an address.
    """

    def __init__(self, http: Fetches, clock: Clock, *, issuer: str, url: str = "", file: str = "") -> None:
        self._http = http
        self._clock = clock
        self._issuer = issuer
        self._url = url
        self._file = Path(file) if file else None
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key with this id; without one, the only key there is. Raises TokenRefused."""
        await self._fresh(key_id)
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(key_id or "")
        if found is None:
            raise TokenRefused(TOKEN_SIGNATURE, "the issuer has no key of this id")
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
                    self._keys = read_keys(await self._read())
                    self._fetched = now
                except TrothError as error:
                    log.warning("token.keys_failed", issuer=self._issuer, code=error.code, detail=error.detail)
            if now - self._fetched >= STALE:
                raise TokenRefused(TOKEN_KEYS, f"of {self._issuer}")

    async def _read(self) -> bytes:
        if self._file is not None:
            try:
                return await asyncio.to_thread(self._file.read_bytes)
            except OSError as error:
                raise TokenRefused(TOKEN_KEYS, f"{self._file}: {error.strerror}") from error
        return await self._get(self._url or await self._discover())

    async def _discover(self) -> str:
        """OpenID Connect Discovery 1.0, section 4: the document must speak for this very issuer."""
        data = await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        document = _object(data)
        url = document.get("jwks_uri")
        if document.get("issuer") != self._issuer or not isinstance(url, str):
            raise TokenRefused(TOKEN_KEYS, "its discovery document is another issuer's, or names no keys")
        return url

    async def _get(self, url: str) -> bytes:
        answer = await self._http.request("GET", url)
        if answer.status != 200:
            raise TokenRefused(TOKEN_KEYS, f"{url}: status {answer.status}")
        return answer.body


def read_keys(data: bytes) -> dict[str, VerifyingKey]:
    """Signing keys by id. Keys of kinds that are not known, for encryption, or known to be weak are left out.

    Raises TokenRefused for what is no JWK set.
    """
    keys = _object(data).get("keys") if len(data) <= _MAX_SET else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise TokenRefused(TOKEN_KEYS, "no JWK set of a bearable size")
    found: dict[str, VerifyingKey] = {}
    for one in keys:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        try:
            key = VerifyingKey.from_jwk(one)
            check_offered(key.public_key)
        except (JoseError, KeyRefused) as error:
            log.info("token.key_left_out", code=error.code)
            continue
        key_id = one.get("kid")
        found[key_id if isinstance(key_id, str) else ""] = key
    return found


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TokenRefused(TOKEN_KEYS, "the answer is no JSON") from error
    if not isinstance(found, dict):
        raise TokenRefused(TOKEN_KEYS, "the answer is no JSON object")
    return found
