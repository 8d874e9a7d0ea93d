"""JWT-SVIDs for those who ask, the keys that tokens verify under, and the look at tokens of others.

The server judges each token that it makes. One that was just made is handed out again to the same workload for the same
audience until half of its life is over, so that a process may ask for each of its calls; when the server ends the
workload's certificate it is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from troth.agent.door.client import Refused
from troth.agent.door.errors import SERVER
from troth.agent.errors import AgentError
from troth.agent.spiffe.jwt_messages import JwtSvid
from troth.agent.spiffe.settings import WorkloadSettings
from troth.agent.spiffe.svids import Asks
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey, b64url_decode
from troth.kit.clock import Clock
from troth.kit.log import get_logger

log = get_logger("agent")

#: What SPIFFE allows (JWT-SVID, 2.1), as far as it is known here.
_ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
_KEY = frozenset({"kty", "crv", "x", "y", "n", "e"})
_MOST = 512
_LONGEST_TOKEN = 16_384
#: JWT-SVID, 3.3 leaves a little for clocks that differ.
_LEEWAY = timedelta(seconds=30)
_AFTER_REFUSAL = timedelta(seconds=5)


class NotValid(ValueError):
    """The token says nothing that one may believe, and why."""


@dataclass(frozen=True, slots=True)
class _Kept:
    svid: JwtSvid
    renew_at: datetime
    not_after: datetime


class Jwts:
    """See the module. Belongs to one event loop."""

    def __init__(self, door: Asks, clock: Clock, workloads: Sequence[WorkloadSettings]) -> None:
        self._door = door
        self._clock = clock
        self._order = [one.name for one in workloads]
        self._kept: dict[tuple[str, tuple[str, ...]], _Kept] = {}
        self._refused: dict[str, tuple[datetime, Refused]] = {}
        self._keys: tuple[Mapping[str, Any], ...] = ()

    @property
    def keys(self) -> tuple[Mapping[str, Any], ...]:
        """JWKs, as the server last told them."""
        return self._keys

    def heard(self, said: Mapping[str, Any]) -> bool:
        """Take the keys out of an answer of the server that has them; whether they are others than before."""
        found = said.get("jwt_keys")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            return False
        before, self._keys = self._keys, tuple(found)
        return before != self._keys

    def forget(self, workload: str) -> None:
        """Hand out nothing of ``workload`` that is kept."""
        self._kept = {key: one for key, one in self._kept.items() if key[0] != workload}

    async def fetch(
        self, names: frozenset[str], selectors: frozenset[str], audience: Sequence[str], spiffe_id: str = ""
    ) -> list[JwtSvid]:
        """A token for each of ``names`` (in the order of the configuration), or for that of ``spiffe_id`` alone.

        Raises Refused if the server refuses all of them, AgentError if one cannot be had now.
        """
        found: list[JwtSvid] = []
        refused: Refused | None = None
        for name in self._order:
            if name not in names:
                continue
            try:
                one = await self._one(name, selectors, tuple(audience))
            except Refused as error:
                refused = error
                continue
            if not spiffe_id or one.spiffe_id == spiffe_id:
                found.append(one)
        if not found and refused is not None:
            raise refused
        return found

    async def _one(self, name: str, selectors: frozenset[str], audience: tuple[str, ...]) -> JwtSvid:
        now, key = self._clock.now(), (name, audience)
        kept = self._kept.get(key)
        if kept is not None and now < kept.renew_at:
            return kept.svid
        last = self._refused.get(name)
        if last is not None and timedelta(0) <= now - last[0] < _AFTER_REFUSAL:
            raise last[1]
        try:
            said = await self._door.ask(
                "/workload/jwt", {"workload": name, "audience": list(audience), "selectors": sorted(selectors)[:64]}
            )
        except Refused as error:
            if error.facts.get("status", 403) == 403:
                self.forget(name)
                self._refused[name] = (now, error)
            raise
        except AgentError:
            if kept is not None and now < kept.not_after:
                return kept.svid  # the server is away; this one is still good
            raise
        self._refused.pop(name, None)
        self.heard(said)
        made = self._made(said, name, audience, now)
        if len(self._kept) >= _MOST:
            self._kept = {one: each for one, each in self._kept.items() if each.not_after > now}
        if len(self._kept) < _MOST:
            self._kept[key] = made
        log.info("jwt_svid.fetched", spiffe_id=made.svid.spiffe_id, not_after=made.not_after.isoformat())
        return made.svid

    def _made(self, said: Mapping[str, Any], name: str, audience: tuple[str, ...], now: datetime) -> _Kept:
        """What the server said, held against what was asked. Raises AgentError."""
        token = said.get("token")
        try:
            if not isinstance(token, str):
                raise NotValid("there is no token in it")
            claims = self._claims(token, set(audience))
        except NotValid as error:
            raise AgentError(SERVER, f"the answer is no JWT-SVID for this audience: {error}") from error
        until = datetime.fromtimestamp(claims["exp"], UTC)
        return _Kept(JwtSvid(str(claims["sub"]), token, name), now + (until - now) / 2, until)

    def validate(self, token: str, audience: str, trust_domains: frozenset[str]) -> tuple[str, dict[str, Any]]:
        """SPIFFE ID and claims of a token that somebody showed (JWT-SVID, section 3). Raises NotValid."""
        if not audience:
            raise NotValid("no audience to hold it against")
        claims = self._claims(token, {audience})
        spiffe_id = str(claims["sub"])
        if "/".join(spiffe_id.split("/")[:3]) not in trust_domains:
            raise NotValid("it is of another trust domain")
        return spiffe_id, claims

    def _claims(self, token: str, audience: set[str]) -> dict[str, Any]:
        parts = token.split(".")
        if len(token) > _LONGEST_TOKEN or len(parts) != 3 or not token.isascii():
            raise NotValid("it is no JWS in compact form")
        try:
            header, claims = (msgspec.json.decode(b64url_decode(part)) for part in parts[:2])
            signature = b64url_decode(parts[2])
        except (JoseError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotValid("it is no JWS in compact form") from None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise NotValid("header and claims are JSON objects")
        if header.get("alg") not in _ALGORITHMS or header.get("typ", "JWT") not in ("JWT", "JOSE") or "crit" in header:
            raise NotValid("its header is not that of a JWT-SVID")
        self._verify(header, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)
        subject, until, told = claims.get("sub"), claims.get("exp"), claims.get("aud")
        if not isinstance(subject, str) or not subject.startswith("spiffe://"):
            raise NotValid("sub is no SPIFFE ID")
        if isinstance(until, bool) or not isinstance(until, (int, float)) or not 0 < until < 1 << 37:
            raise NotValid("it has no exp")
        if self._clock.now() - _LEEWAY > datetime.fromtimestamp(until, UTC):
            raise NotValid("it has run out")
        for_whom = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        if not audience <= {one for one in for_whom if isinstance(one, str)}:
            raise NotValid("it is for somebody else")
        return claims

    def _verify(self, header: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
        kid = header.get("kid")
        for one in self._keys:
            if kid is not None and one.get("kid") != kid:
                continue
            try:
                key = VerifyingKey.from_jwk({name: value for name, value in one.items() if name in _KEY})
                key.verify(str(header["alg"]), signed, signature)
            except JoseError:
                continue
            return
        raise NotValid("no key that is known here has signed it")
