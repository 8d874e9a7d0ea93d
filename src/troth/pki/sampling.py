"""A second look at what was issued: the full lint over a sample of fresh leaves, away from the issuing path.

Every leaf passes the fast assertions before it is signed; the full lint costs a hundred times as much. Profiles were
linted at their extremes when they were applied, so a finding here means that one of the two has a hole: it is an event
in the ledger and an error in the log, and revokes nothing by itself.
"""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

from troth.audit.event import Event
from troth.kit.log import get_logger
from troth.pki.errors import LintRefused
from troth.pki.lint_full import lint_full
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

#: Certificates looked at in one round, and among how many of the newest they are drawn.
SAMPLE = 10
_DRAWN_FROM = 500


class LintSampler:
    """Run :meth:`run_once` now and then; a certificate is looked at once per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = CertificateStore(database)
        self._seen_to: UUID | None = None

    async def run_once(self) -> int:
        """Lint a sample of what was issued since the last round; returns how many had findings."""
        page = await self._store.listed(state="issued", limit=_DRAWN_FROM)
        fresh = [one for one in page.certificates if self._seen_to is None or one.id > self._seen_to]
        if page.certificates:
            self._seen_to = page.certificates[0].id
        bad = 0
        for one in random.sample(fresh, min(SAMPLE, len(fresh))):
            try:
                await asyncio.to_thread(lint_full, one.der or b"")
            except LintRefused as refusal:
                bad += 1
                log.error("certificate.lint_finding", certificate_id=str(one.id), detail=refusal.detail)
                references = (f"certificate:{one.id}", f"authority:{one.authority}")
                event = Event("certificate.lint_finding", "system:sampler", references, {"detail": refusal.detail})
                await self._database.commit(Unit().record(event))
        return bad
