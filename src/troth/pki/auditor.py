"""An independent look at everything that was ever issued, in batches, once a day (Boulder's cert-checker is the model).

The gate checks what it is about to sign; the auditor asks years later whether what is stored still says what was
signed, whether the key is still one that we would certify, and whether status and CRL agree. A walk begins at the
oldest certificate and remembers how far it has come, so that a restart goes on there. What it finds is kept
(``finding_store``), is an event in the ledger when it is new, and changes nothing by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki.audit_rules import Context, audit
from troth.pki.catalogue import Catalogue
from troth.pki.errors import INSPECTION_MOVED, InspectionMoved
from troth.pki.finding_store import CLEAR, MOVE, NOTE, STANDS, Audited, FindingStore, Inspection
from troth.pki.lint_full import Finding
from troth.pki.profile import parse_profile
from troth.pki.template import compile_template
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

NAME, ACTOR = "audit", "system:auditor"
#: Certificates in one batch: about 0.1 s of work, on a thread.
BATCH = 200
#: From the end of one walk to the beginning of the next.
EVERY = timedelta(days=1)
#: A change of status must be in a CRL by then.
SHOWN_WITHIN = timedelta(hours=1)

Known = Callable[[Sequence[UUID]], Awaitable[Collection[UUID]]]


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk has seen since it began."""

    looked: int
    found: int
    whole: bool


class Auditor:
    """Run :meth:`run_once` now and then, or :meth:`run_whole` on a person's word.

    Args:
        decisions_known: which of these decisions exist; decisions belong to a room above.
    """

    def __init__(self, database: Database, catalogue: Catalogue, clock: Clock, decisions_known: Known) -> None:
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._known = decisions_known
        self._store = FindingStore(database)
        self._oids: dict[tuple[str, str, int], frozenset[str] | None] = {}

    async def run_once(self) -> Walked:
        """One batch, if a walk is under way or due."""
        stands = await self._store.inspection(NAME)
        if stands.ended_at is not None and self._clock.now() < stands.ended_at + EVERY:
            return Walked(0, 0, True)
        return await self._batch(stands)

    async def run_whole(self) -> Walked:
        """A whole walk from the beginning, whatever was under way."""
        looked = found = 0
        stands = await self._store.inspection(NAME)
        if stands.position is not None:
            unit = Unit().write(MOVE, NAME, None, 0, 0, None, None, self._clock.now())
            await self._database.commit(unit)
        while True:
            walked = await self._batch(await self._store.inspection(NAME))
            looked, found = looked + walked.looked, found + walked.found
            if walked.whole:
                return Walked(looked, found, True)

    async def _batch(self, stands: Inspection) -> Walked:
        now = self._clock.now()
        batch = await self._store.after(stands.position, BATCH, shown_by=now - SHOWN_WITHIN)
        named = [one.record.decision_id for one in batch if one.record.decision_id is not None]
        known = frozenset(await self._known(named)) if named else frozenset()
        contexts = [await self._context(one, known) for one in batch]
        findings = await asyncio.to_thread(_all, batch, contexts)
        whole = len(batch) < BATCH
        began = now if stands.position is None else None
        position = None if whole else batch[-1].record.id
        unit = Unit().guard(STANDS, NAME, stands.position, refuse=InspectionMoved(INSPECTION_MOVED), key=NAME)
        unit.write(MOVE, NAME, position, len(batch), sum(map(bool, findings)), began, now if whole else None, now)
        open_ = await self._store.open([_object(one) for one in batch])
        for one, found in zip(batch, findings, strict=True):
            note(unit, _object(one), "audit", found, self._clock, known=open_, authority=one.record.authority)
        await self._database.commit(unit)
        return Walked(len(batch), sum(map(bool, findings)), whole)

    async def _context(self, one: Audited, known: frozenset[UUID]) -> Context:
        record = one.record
        decided = None if record.decision_id is None else record.decision_id in known
        authority = self._catalogue.authorities.get(record.authority)
        oids = await self._extension_oids(record.authority, record.profile, record.profile_version)
        return Context(authority, oids, decided, self._clock.now())

    async def _extension_oids(self, slug: str, profile: str, version: int) -> frozenset[str] | None:
        """The extensions that this version of the profile gives under this authority, compiled anew and kept."""
        if (slug, profile, version) not in self._oids:
            authority = self._catalogue.authorities.get(slug)
            document = (await self._store.profile_versions(profile)).get(version)
            found = None
            if authority is not None and document is not None:
                try:
                    found = compile_template(
                        parse_profile(document), version=version, authority=slug, issuer=authority.x509,
                        urls=authority.urls,
                    ).extension_oids  # fmt: skip
                except TrothError as error:
                    log.warning("audit.profile_unreadable", profile=profile, version=version, code=error.code)
            self._oids[slug, profile, version] = found
        return self._oids[slug, profile, version]


def _all(batch: Sequence[Audited], contexts: Sequence[Context]) -> list[list[Finding]]:
    return [audit(one, context) for one, context in zip(batch, contexts, strict=True)]


def _object(one: Audited) -> str:
    return f"certificate:{one.record.id}"


def note(
    unit: Unit,
    about: str,
    source: str,
    findings: Sequence[Finding],
    clock: Clock,
    *,
    known: Collection[tuple[str, str]],
    authority: str,
) -> None:
    """Keep ``findings`` about one object in ``unit``, clear what is not found any more, and tell what is new."""
    now = clock.now()
    for finding in {one.code: one for one in findings}.values():
        unit.write(NOTE, about, finding.code, source, finding.severity, finding.where[:500], now)
        if (about, finding.code) not in known:
            log.error("certificate.finding", object=about, code=finding.code, source=source, where=finding.where)
            data = {"code": finding.code, "severity": finding.severity, "detail": finding.where[:500]}
            kind = "certificate.lint_finding" if source == "lint" else "certificate.audit_finding"
            unit.record(Event(kind, f"system:{source}", (about, f"authority:{authority}"), dict(data)))
    unit.write(CLEAR, about, source, now)
