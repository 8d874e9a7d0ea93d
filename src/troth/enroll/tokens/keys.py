"""An issuer's keys (RFC 7517): fetched through the guarded client, kept and renewed as ``client.keyset`` does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from troth.client import keyset
from troth.client.errors import JWKS_NO_KEY, JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.tokens.errors import TOKEN_KEYS, TOKEN_SIGNATURE, TokenRefused
from troth.kit.clock import Clock
from troth.kit.http import Answer
from troth.pki.keycheck import check_offered


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
        self._issuer = issuer
        self._url = url
        self._file = Path(file) if file else None
        self._set = keyset.KeySet(self._read, clock, check=check_offered, of=issuer)

    async def find(self, key_id: str | None) -> VerifyingKey:
        """The key with this id; without one, the only key there is. Raises TokenRefused."""
        try:
            return await self._set.find(key_id)
        except JoseError as error:
            raise _refused(error) from error

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
        document = keyset.json_object(data)
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
    """See :func:`troth.client.keyset.read_keys`; weak keys are left out. Raises TokenRefused."""
    try:
        return keyset.read_keys(data, check=check_offered)
    except JoseError as error:
        raise _refused(error) from error


def _refused(error: JoseError) -> TokenRefused:
    return TokenRefused(TOKEN_SIGNATURE if error.reason is JWKS_NO_KEY else TOKEN_KEYS, error.detail)
