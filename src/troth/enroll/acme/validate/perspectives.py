"""Several vantage points: a name must look the same from most of them (RFC 8555, section 10.2).

Whoever sits on one path between Troth and a name, or poisons one resolver, can answer in the name's place there. So
after the first validation, which settles what the client did wrong, the same challenge is held against the network
from each further vantage: from a process elsewhere (``vantage``), or from here with another resolver or another source
address, which the host's routing may lead through another provider or a tunnel. Enough of them must see what the first
one saw. A vantage that cannot be asked has not seen it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from troth.enroll.acme.errors import VALIDATION_QUORUM
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid


class Validating(Protocol):
    """What holds a challenge against the network."""

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """Returns within its budget; raises only CancelledError."""
        ...

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        """The same, of CAA alone. ``issuers``: names under which this server is known, lower-case."""
        ...


def needed(quorum: int, vantages: int) -> int:
    """How many of ``vantages`` must agree: ``quorum``, and where that is 0, as many as public authorities need.

    CA/Browser Forum, Baseline Requirements, 3.2.2.9: of two to five one may not, of six or more two.
    """
    if quorum or vantages <= 1:
        return quorum or vantages
    return vantages - (1 if vantages <= 5 else 2)


@dataclass(frozen=True)
class Perspectives:
    """See the module.

    Attributes:
        vantages: by name, beside ``first``.
        quorum: how many of them must agree; see :func:`needed`.
    """

    first: Validating
    vantages: Mapping[str, Validating]
    quorum: int

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """See :class:`Validating`."""
        seen = await self.first.validate(challenge)
        if isinstance(seen, Invalid) or not self.vantages:
            return seen
        asked = [one.validate(challenge) for one in self.vantages.values()]
        return await self._weighed(challenge.identifier.value, seen, asked)

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        """See :class:`Validating`."""
        seen = await self.first.permitted(question, issuers)
        if isinstance(seen, Invalid) or not self.vantages:
            return seen
        asked = [one.permitted(question, issuers) for one in self.vantages.values()]
        return await self._weighed(question.name, seen, asked)

    async def _weighed(self, what: str, seen: Valid, asked: Sequence[Awaitable[Valid | Invalid]]) -> Valid | Invalid:
        names, results = list(self.vantages), await asyncio.gather(*asked)
        record = (*seen.record, *_told(names, results))
        agree = sum(isinstance(one, Valid) for one in results)
        enough = needed(self.quorum, len(names))
        if agree >= enough:
            return Valid(record, seen.until)
        detail = (
            f"{what}: seen from here, but from {agree} of {len(names)} further vantage points "
            f"only ({enough} are needed)"
        )
        return Invalid(AcmeProblem(VALIDATION_QUORUM, detail), True, record)


def _told(names: Sequence[str], results: Sequence[Valid | Invalid]) -> list[Attempt]:
    """What the vantages tried, each told with its name; of one that failed, why."""
    told = []
    for name, one in zip(names, results, strict=True):
        told += [Attempt(f"{name}: {each.target}", each.address, each.result) for each in one.record]
        if isinstance(one, Invalid):
            told.append(Attempt(name, None, one.problem.detail))
    return told
