"""Registered TPMs as API and pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from troth.enroll.tpm.model import RegisteredTpm
from troth.enroll.tpm.registry import Planned, TpmRegistry
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page

MAX_LIMIT = 200


class TpmView(Struct, frozen=True):
    """A TPM and the device it belongs to.

    Attributes:
        ek_sha256: of its endorsement key's SubjectPublicKeyInfo, in hexadecimal.
        identifier: the permanent identifier in certificates of its attestation keys.
        attested_at: when an attestation key of it was last certified.
    """

    ek_sha256: str
    device: str
    device_id: UUID
    identifier: str
    manufacturer: str
    model: str
    version: str
    added_at: datetime
    actor: str
    attested_at: datetime | None


class Tpms:
    """Looking at registered TPMs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._subjects = SubjectStore(database)
        self.registry = TpmRegistry(database, clock, Subjects(self._subjects))

    async def page(self, *, cursor: str, limit: int) -> Page[TpmView]:
        """By endorsement key. Raises WebError for a cursor that is none."""
        try:
            after = bytes.fromhex(cursor)
        except ValueError as error:
            raise WebError(MALFORMED, "the cursor is not one of ours") from error
        limit = max(1, min(limit, MAX_LIMIT))
        found = await self.registry.store.page(after=after, limit=limit + 1)
        more = found[limit - 1].ek_sha256.hex() if len(found) > limit else None
        return Page(tuple(await self._viewed(found[:limit])), more)

    async def of_device(self, device_id: UUID) -> Sequence[TpmView]:
        """A device's, oldest first."""
        return await self._viewed(await self.registry.store.of_device(device_id))

    async def get(self, ek: str) -> TpmView:
        """One, by its endorsement key in any form. Raises TpmRefused."""
        return tpm_view(await self.registry.find(ek))

    async def _viewed(self, tpms: Sequence[RegisteredTpm]) -> list[TpmView]:
        devices = {one.id: one for one in await self._subjects.by_ids([tpm.device_id for tpm in tpms])}
        return [tpm_view(Planned(one, devices[one.device_id])) for one in tpms if one.device_id in devices]


def tpm_view(one: Planned) -> TpmView:
    """A TPM as it is shown."""
    tpm, make = one.tpm, one.tpm.make
    return TpmView(
        tpm.ek_sha256.hex(), one.device.name, tpm.device_id, tpm.identifier, make.manufacturer, make.model,
        make.version, tpm.added_at, tpm.actor, tpm.attested_at,
    )  # fmt: skip
