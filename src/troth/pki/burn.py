"""Burning: what becomes of a serial number whose issuance was cut short.

A reservation says that bytes *may* have been signed. Nobody can know whether they were, so they are never signed
(again): the row becomes ``burnt``, and its serial number is revoked with reason cessationOfOperation. Not
``superseded``, which would promise a successor; the certificate simply ended before it began. A caller may make the
request anew, under a new request id.

The worker calls :meth:`Burner.burn_abandoned` every few seconds. A process that is merely slow loses nothing but the
issuance: its store guard finds the row burnt and drops the signed bytes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.pki.revocation import add_status_step, set_status
from troth.pki.status_store import DROP_CAUSE, SET_BURNT, StatusStore
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

log = get_logger("pki")

#: A reservation older than this has been given up, whoever holds it.
GIVEN_UP_AFTER = timedelta(seconds=60)
CESSATION_OF_OPERATION = 5


class Burner:
    """Burns reservations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def burn(self, certificate_id: UUID, *, why: str, actor: str = "system:gate") -> None:
        """Burn one reservation; does nothing if it is not reserved any more."""
        at = self._clock.now()

        async def step(reader: Reader, unit: Unit) -> None:
            row = await StatusStore(reader).lock_certificate(certificate_id)
            if row is None or row.state != "reserved":
                return
            unit.write(SET_BURNT, row.id)
            for cause in sorted(row.causes):
                unit.write(DROP_CAUSE, row.id, cause)
            burnt = replace(
                row,
                status="revoked",
                causes=frozenset(),
                status_version=row.status_version + 1,
                # A reservation that was revoked or held before keeps that date, and a graver reason.
                status_at=at if row.status == "good" else row.status_at,
                revocation_reason=row.revocation_reason if row.status == "revoked" else CESSATION_OF_OPERATION,
            )
            set_status(unit, burnt, "certificate.burnt", actor, {"why": why})

        await self._database.commit(add_status_step(Unit(), step))

    async def burn_abandoned(self) -> int:
        """Burn what dead or stuck processes left reserved; returns how many reservations that were."""
        found = await StatusStore(self._database).abandoned(self._clock.now() - GIVEN_UP_AFTER)
        for certificate_id in found:
            await self.burn(certificate_id, why="abandoned", actor="system:recovery")
        if found:
            log.warning("certificate.burnt_abandoned", count=len(found))
        return len(found)
