"""Revoking many certificates: found by a selector, ordered in one unit, done in batches that resume.

The order writes down which certificates are meant, one row each; a job takes them in batches, and each batch deletes
its rows in the unit that revokes. Whatever dies in between is taken up where it was left.
"""

from __future__ import annotations

import json
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki import revocation
from troth.pki.bulk_store import (
    ADD_BULK,
    ADD_ITEM,
    ADVANCE,
    DROP_ITEM,
    LOCK_BULK,
    Bulk,
    BulkStore,
    Found,
    Selector,
)
from troth.pki.errors import ALREADY_REVOKED, BULK_EMPTY, BULK_TOO_MANY, BULK_UNKNOWN, REASON_REFUSED, RevocationRefused
from troth.pki.revocation import REASONS, OfCertificate
from troth.store.jobs import Job, LeasedJob, enqueue, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Unit

REVOKE_MANY_JOB = "certificate.revoke_many"
#: Certificates that one order may hit.
CAP = 10_000
_BATCH = 200


class BulkRevocations:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, *, cap: int = CAP, batch: int = _BATCH) -> None:
        self._database = database
        self._clock = clock
        self._cap = cap
        self._batch = batch
        self._store = BulkStore(database)

    async def find(self, selector: Selector, reason: int) -> list[Found]:
        """What the selector finds now. Raises RevocationRefused: nothing narrows it, or it finds more than the cap."""
        if reason not in REASONS:
            raise RevocationRefused(REASON_REFUSED, f"reason {reason} cannot be chosen", reason_code=reason)
        if selector.empty:
            raise RevocationRefused(BULK_EMPTY)
        found = await self._store.find(selector, reason, self._clock.now(), self._cap + 1)
        if len(found) > self._cap:
            raise RevocationRefused(BULK_TOO_MANY, f"it finds more than {self._cap} certificates")
        return found

    async def order(
        self, selector: Selector, *, reason: int, note: str, actor: str, joined: Unit | None = None
    ) -> tuple[UUID, int]:
        """Order the revocation of what the selector finds now: id and number. ``joined`` is committed with it."""
        found, now, bulk_id = await self.find(selector, reason), self._clock.now(), new_id()
        unit = Unit()
        unit.write(ADD_BULK, bulk_id, _text(selector), reason, actor, note[:500], len(found), now)
        unit.write_all(ADD_ITEM, [(bulk_id, one.id) for one in found])
        enqueue(unit, Job(REVOKE_MANY_JOB, str(bulk_id), now))
        data: dict[str, Json] = {"bulk": str(bulk_id), "certificates": len(found), "reason": reason, "note": note[:500]}
        unit.record(Event("certificate.many_ordered", actor, (f"bulk:{bulk_id}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return bulk_id, len(found)

    async def progress(self, bulk_id: UUID) -> Bulk:
        """How far an order has come. Raises RevocationRefused."""
        found = await self._store.bulk(bulk_id)
        if found is None:
            raise RevocationRefused(BULK_UNKNOWN, f"there is no order {bulk_id}")
        return found

    async def run(self, job: LeasedJob) -> None:
        """Do the next batch of an order; the last one ends the job."""
        bulk_id = UUID(job.key)
        bulk = await self.progress(bulk_id)
        while True:
            ids = await self._store.next_items(bulk_id, self._batch)
            meant = await self._store.revocable(ids, bulk.reason)
            now = self._clock.now()
            unit = Unit()
            if bulk.finished_at is not None:
                await self._database.commit(finish(unit, job))
                return
            done = RevocationRefused(BULK_UNKNOWN, f"the order {bulk_id} is done")
            unit.guard(LOCK_BULK, bulk_id, refuse=done, key=("bulk", bulk_id))
            for one in sorted(meant):
                revocation.revoke(unit, OfCertificate(one), reason=bulk.reason, actor=bulk.actor, at=now)
            unit.write_all(DROP_ITEM, [(bulk_id, one) for one in ids])
            last = len(ids) < self._batch
            unit.write(ADVANCE, bulk_id, len(meant), len(ids) - len(meant), now if last else None)
            if last:
                data: dict[str, Json] = {"bulk": str(bulk_id), "certificates": bulk.total}
                unit.record(Event("certificate.many_revoked", bulk.actor, (f"bulk:{bulk_id}",), data))
                finish(unit, job)
            else:
                postpone(unit, job, now)
            try:
                await self._database.commit(unit)
            except RevocationRefused as error:
                if error.reason is ALREADY_REVOKED:
                    continue  # somebody else revoked one of them just now: look again
                raise
            return


def _text(selector: Selector) -> str:
    told = {
        "subject": str(selector.subject) if selector.subject else None,
        "profile": selector.profile,
        "authority": selector.authority,
        "issued_after": selector.issued_after.isoformat() if selector.issued_after else None,
        "issued_before": selector.issued_before.isoformat() if selector.issued_before else None,
        "serials": [one.hex() for one in selector.serials],
    }
    return json.dumps({name: value for name, value in told.items() if value}, sort_keys=True)
