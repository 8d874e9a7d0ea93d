"""Wiring of the attestation CA."""

from __future__ import annotations

from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.enroll.issuance import Issuance
from troth.enroll.tpm.desk import AttestationDesk
from troth.enroll.tpm.routes import TpmDoor
from troth.store.pool import Database


def tpm_door(context: RoleContext, database: Database, issuance: Issuance) -> TpmDoor:
    """The door, for a web process."""
    settings = context.config.tpm
    desk = AttestationDesk(
        database,
        context.clock,
        issuance,
        lifetime=timedelta(seconds=settings.challenge_seconds),
        require_certificate=settings.require_certificate,
    )
    return TpmDoor(desk, context.clock, per_minute=settings.requests_per_minute)
