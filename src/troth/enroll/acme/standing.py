"""Standing proofs: what dns-persist-01 finds at newOrder already, so that the client has nothing to do.

The record names the account, so nothing has to be answered first. Where it is not there, or cannot be looked up within
a moment, the authorization stays pending and shows its challenges as usual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from msgspec.structs import replace

from troth.enroll.acme.authorizations import replace_challenge, with_challenge
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import DNS_PERSIST_01, Account, Authorization
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.outcome import Challenge, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.views import rfc3339
from troth.kit.clock import Clock, to_seconds

#: Reads thumbprints by account.
Former: TypeAlias = Callable[[UUID], Awaitable[tuple[str, ...]]]

_AT_ONCE = 20
#: For so long an order waits for its look-ups, and for those of others before them.
_LONGEST = 5.0


class StandingProofs:
    """See the module. ``lifetime``: for how long a proof is taken."""

    def __init__(
        self,
        validating: Validating,
        clock: Clock,
        lifetime: timedelta,
        former: Former | None = None,
        *,
        longest: float = _LONGEST,
    ) -> None:
        """``former``: thumbprints of the keys that an account had before."""
        self._former = former
        self._longest = longest
        self._validating = validating
        self._clock = clock
        self._lifetime = lifetime
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def all_of(
        self, made: Mapping[Identifier, Authorization], directory: Directory, account_uri: str, account: Account
    ) -> dict[Identifier, Authorization]:
        """``made`` with those valid that a record proves already."""
        once = {authz.id: authz for authz in made.values()}
        former = await self._former(account.id) if self._former is not None else ()
        keys = (account.thumbprint, *former)
        found = await asyncio.gather(*(self.of(authz, directory, account_uri, keys) for authz in once.values()))
        proved = {authz.id: authz for authz in found}
        return {name: proved[authz.id] for name, authz in made.items()}

    async def of(
        self, authz: Authorization, directory: Directory, account_uri: str, keys: tuple[str, ...] = ()
    ) -> Authorization:
        """``authz``, valid if a record proves it already."""
        stored = authz.challenge(DNS_PERSIST_01)
        if stored is None or authz.status != "pending":
            return authz
        now = self._clock.now()
        try:
            async with asyncio.timeout(self._longest), self._slots:
                found = await self._validating.validate(
                    Challenge(
                        DNS_PERSIST_01,
                        authz.identifier,
                        "",
                        "",
                        account_uri=account_uri,
                        issuers=directory.issuers,
                        thumbprints=keys,
                        plain_uris=directory.plain_uris,
                        wildcard=authz.wildcard,
                        subdomains=authz.subdomains,
                        caa=directory.caa,
                        asked_at=now.timestamp(),
                    )
                )
        except TimeoutError:
            return authz
        if not isinstance(found, Valid):
            return authz
        done = replace_challenge(stored, status="valid", validated=rfc3339(now))
        return replace(with_challenge(authz, done), status="valid", expires=lasting(now, self._lifetime, found))


def lasting(now: datetime, lifetime: timedelta, proof: Valid) -> datetime:
    """Until when a proof is taken: for ``lifetime``, and no longer than it says itself."""
    until = now + lifetime
    if proof.until is not None:
        until = min(until, datetime.fromtimestamp(min(proof.until, until.timestamp()), UTC))
    return to_seconds(until)
