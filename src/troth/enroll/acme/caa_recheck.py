"""CAA once more before a certificate is made, where the last look is too old (RFC 8659, section 4; eight hours).

It is looked at from as many vantage points as any proof: one poisoned resolver must not open what a zone closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from troth.enroll.acme.authorizations import covers
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.errors import VALIDATION_DNS
from troth.enroll.acme.model import Authorization, Challenge, Order
from troth.enroll.acme.problems import AcmeProblem, Identifier, compound
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.kit.clock import Clock

#: What a validation looked at holds for so long.
FRESH = timedelta(hours=8)
_AT_ONCE = 20
#: Seconds for one name, all its labels: a client waits for this, and a name may have many labels with silent servers.
_LONGEST = 5.0


class CaaRecheck:
    """See the module."""

    def __init__(self, validating: Validating, clock: Clock, *, longest: float = _LONGEST) -> None:
        self._longest = longest
        self._validating = validating
        self._clock = clock
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def check(
        self, order: Order, proved: Mapping[Identifier, Authorization], directory: Directory, account_uri: str
    ) -> None:
        """Raise AcmeProblem (caa, or dns where it cannot be known) unless every name may be certified."""
        if not directory.caa:
            return
        asked = [
            (name, method)
            for name in order.identifiers
            if name.type == "dns" and (method := self._stale(name, proved)) is not None
        ]
        found = await asyncio.gather(*(self._one(name, how, directory, account_uri) for name, how in asked))
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise compound(problems)

    def _stale(self, name: Identifier, proved: Mapping[Identifier, Authorization]) -> str | None:
        """The method that proved ``name``, if CAA must be looked at again; None if that was done lately."""
        authz = covers(proved, name)
        done = _valid(authz) if authz is not None else None
        if authz is None or done is None or done.by:
            return ""  # on an enrolment's word: nothing was ever looked at
        # A domain's proof was held against the domain's records; those of the name below may say something else.
        if authz.name != name.value or done.validated is None:
            return done.type
        return None if datetime.fromisoformat(done.validated) > self._clock.now() - FRESH else done.type

    async def _one(self, name: Identifier, method: str, directory: Directory, account_uri: str) -> AcmeProblem | None:
        question = CaaQuestion(name.value.removeprefix("*."), name.value.startswith("*."), account_uri, method)
        try:
            async with self._slots, asyncio.timeout(self._longest):
                found = await self._validating.permitted(question, directory.issuers)
        except TimeoutError:
            return AcmeProblem(
                VALIDATION_DNS, f"{name.value}: its CAA records could not be read in time", identifier=name
            )
        if isinstance(found, Valid):
            return None
        return AcmeProblem(found.problem.reason, found.problem.detail, identifier=name)


def _valid(authz: Authorization) -> Challenge | None:
    return next((one for one in authz.challenges if one.status == "valid"), None)
