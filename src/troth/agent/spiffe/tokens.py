"""The calls of the Workload API about JWT-SVIDs (SPIFFE Workload API, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from troth.agent.door.client import Refused
from troth.agent.errors import AgentError
from troth.agent.spiffe.http2 import Code, Status
from troth.agent.spiffe.jwt_messages import (
    jwt_bundles_response,
    jwt_svid_response,
    read_jwt_svid_request,
    read_validate_jwt_svid_request,
    validate_jwt_svid_response,
)
from troth.agent.spiffe.jwts import Jwts
from troth.agent.spiffe.messages import X509Svid
from troth.kit.log import get_logger

log = get_logger("agent")

NOBODY = "no identity is registered for the calling process"


class TokenCalls:
    """Over the tokens; who calls is settled before."""

    def __init__(self, jwts: Jwts) -> None:
        self._jwts = jwts

    async def fetch(self, message: bytes, names: frozenset[str], selectors: frozenset[str]) -> bytes:
        """JWTSVIDResponse. Raises Status."""
        try:
            audience, spiffe_id = read_jwt_svid_request(message)
        except ValueError as error:
            raise Status(Code.INVALID_ARGUMENT, f"the request cannot be read: {error}") from error
        if not audience or not all(audience) or len(set(audience)) != len(audience):
            raise Status(Code.INVALID_ARGUMENT, "name for whom the token is: an audience, and nobody twice")
        try:
            found = await self._jwts.fetch(names, selectors, audience, spiffe_id)
        except Refused as error:
            if error.facts.get("status", 403) == 403:
                raise Status(Code.PERMISSION_DENIED, NOBODY) from error
            raise Status(Code.INVALID_ARGUMENT, error.detail) from error
        except AgentError as error:
            log.warning("jwt_svid.failed", code=error.code, detail=error.detail)
            raise Status(Code.UNAVAILABLE, error.detail) from error
        if not found:
            raise Status(Code.PERMISSION_DENIED, NOBODY)
        return jwt_svid_response(found)

    def validate(self, message: bytes, live: Sequence[X509Svid]) -> bytes:
        """ValidateJWTSVIDResponse, for one who has ``live``. Raises Status."""
        domains = frozenset(one.trust_domain for one in live)
        try:
            audience, token = read_validate_jwt_svid_request(message)
            spiffe_id, claims = self._jwts.validate(token, audience, domains)
        except ValueError as error:
            raise Status(Code.INVALID_ARGUMENT, f"the token is not valid: {error}") from error
        return validate_jwt_svid_response(spiffe_id, claims)

    def bundles(self, live: Sequence[X509Svid]) -> bytes:
        """JWTBundlesResponse."""
        keys = msgspec.json.encode({"keys": self._jwts.keys})
        return jwt_bundles_response({one.trust_domain: keys for one in live})
