"""The keys behind JWT-SVIDs, as the signer holds them: which signs now, which are told of, and their rotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki import jwt_svid
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.ports import JwtSigner
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("enroll")

#: Seconds for which what the signer said is taken; far less than a key is told of before it signs.
_BELIEVED = 30.0


class JwtKeys:
    """What the signer holds, looked at now and then."""

    def __init__(self, signer: JwtSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._known: list[KeyMetadata] = []
        self._until = float("-inf")

    async def active(self) -> KeyMetadata | None:
        """The key that signs now; None before the first was made."""
        return jwt_svid.signs_now(await self._look(), self._clock.now())

    async def published(self) -> list[Mapping[str, str]] | None:
        """Those that are told of, as JWKs; None where that is not known, which no door for certificates waits for."""
        try:
            found = await self._look()
        except TrothError as error:
            log.warning("jwt_keys.unknown", code=error.code)
            if not self._known:
                return None
            found = self._known
        return [jwt_svid.jwk(key) for key in jwt_svid.in_use(found, self._clock.now())]

    async def _look(self) -> list[KeyMetadata]:
        now = self._clock.monotonic()
        if now >= self._until or jwt_svid.signs_now(self._known, self._clock.now()) is None:
            self._known = await self._signer.list_keys(KeyPurpose.JWT)
            self._until = now + _BELIEVED
        return self._known


class JwtKeyMaker(Protocol):
    """Makes them."""

    async def list_keys(self, purpose: KeyPurpose | None = None) -> list[KeyMetadata]:
        """Its keys, oldest first."""
        ...

    async def generate_key(self, purpose: KeyPurpose, algorithm: KeyAlgorithm) -> KeyMetadata:
        """A fresh one, durable in the signer."""
        ...


class JwtRotation:
    """A worker's duty: there is a key, and a younger one when it is time."""

    def __init__(self, database: Database, signer: JwtKeyMaker, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    async def run_once(self) -> bool:
        """Make a key if one is due; whether it was. Two workers at once make two, of which the younger will sign."""
        if not jwt_svid.due(await self._signer.list_keys(KeyPurpose.JWT), self._clock.now()):
            return False
        made = await self._signer.generate_key(KeyPurpose.JWT, KeyAlgorithm.P256)
        event = Event("workload.jwt_key_made", "system:workload", (), {"key_id": made.key_id})
        await self._database.commit(Unit().record(event))
        log.info("jwt_key.made", key_id=made.key_id)
        return True
