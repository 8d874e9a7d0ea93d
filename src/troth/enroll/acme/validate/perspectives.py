"""Several vantage points: a name must look the same from most of them (RFC 8555, section 10.2).

Whoever sits on one path between Troth and a name, or poisons one resolver, can answer in the name's place there. So
after the first validation, which settles what the client did wrong, the same challenge is held against the network
from each further vantage: with its own resolver, and from its own source address, which the host's routing may lead
through another provider or a tunnel. At least ``quorum`` of them must see what the first one saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from troth.enroll.acme.errors import VALIDATION_QUORUM
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid


class Validating(Protocol):
    """What holds a challenge against the network."""

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """Returns within its budget; raises only CancelledError."""
        ...


@dataclass(frozen=True)
class Perspectives:
    """See the module.

    Attributes:
        vantages: by name, beside ``first``.
        quorum: how many of them must agree.
    """

    first: Validating
    vantages: Mapping[str, Validating]
    quorum: int

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """As :meth:`~.validator.Validator.validate`."""
        seen = await self.first.validate(challenge)
        if isinstance(seen, Invalid) or not self.vantages:
            return seen
        names = list(self.vantages)
        results = await asyncio.gather(*(self.vantages[name].validate(challenge) for name in names))
        record = (*seen.record, *_told(names, results))
        against = [name for name, one in zip(names, results, strict=True) if isinstance(one, Invalid)]
        agree = len(names) - len(against)
        if agree >= self.quorum:
            return Valid(record, seen.until)
        detail = (
            f"{challenge.identifier.value}: seen from here, but from {agree} of {len(names)} further vantage points "
            f"only ({self.quorum} are needed)"
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
