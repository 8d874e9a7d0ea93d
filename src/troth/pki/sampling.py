"""A second look at what was issued: the full lint over a sample of fresh leaves, away from the issuing path.

Every leaf passes the fast assertions before it is signed; the full lint costs a hundred times as much. Profiles were
linted at their extremes when they were applied, so a finding here means that one of the two has a hole: it is kept,
is an event in the ledger and an error in the log, and revokes nothing by itself. How far the look has come is
remembered, so that a restart neither repeats nor skips.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from troth.kit.clock import Clock
from troth.pki.auditor import note
from troth.pki.errors import INSPECTION_MOVED, InspectionMoved
from troth.pki.finding_store import MOVE, STANDS, FindingStore
from troth.pki.lint_full import ALLOWED, STOPPING, Finding, findings
from troth.store.pool import Database
from troth.store.unit import Unit

#: Certificates looked at in one round, and among how many they are drawn.
SAMPLE = 10
_DRAWN_FROM = 500
NAME = "lint"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One round: how many were issued, looked at, and had findings."""

    issued: int
    looked: int
    found: int


class LintSampler:
    """Run :meth:`run_once` now and then."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = FindingStore(database)

    async def run_once(self) -> Sampled:
        """Lint a sample of what was issued since the last round."""
        stands = await self._store.inspection(NAME)
        now = self._clock.now()
        fresh = await self._store.after(stands.position, _DRAWN_FROM, shown_by=now)
        if not fresh:
            return Sampled(0, 0, 0)
        chosen = random.sample(fresh, min(SAMPLE, len(fresh)))
        found = await asyncio.to_thread(lambda: [_bad(one.record.der or b"") for one in chosen])
        unit = Unit().guard(STANDS, NAME, stands.position, refuse=InspectionMoved(INSPECTION_MOVED), key=NAME)
        told = Sampled(len(fresh), len(chosen), sum(map(bool, found)))
        began = now if stands.position is None else None
        unit.write(MOVE, NAME, fresh[-1].record.id, told.looked, told.found, began, None, now)
        for one, bad in zip(chosen, found, strict=True):
            about = f"certificate:{one.record.id}"
            note(unit, about, "lint", bad, self._clock, known=(), authority=one.record.authority)
        await self._database.commit(unit)
        return told


def _bad(certificate: bytes) -> list[Finding]:
    return [one for one in findings(certificate) if one.severity in STOPPING and one.code not in ALLOWED]
