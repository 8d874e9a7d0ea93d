"""Saying which TPM belongs to which device, as acts: whoever may say it can have a key called attested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.enroll.tpm.registry import Planned, Registration, TpmRegistry
from troth.kit.canonical import Json

_SHOWN = 20


class TpmRegister:
    """``tpm.register``. Payload: ``tpms``, a list of ``device``, ``ek`` and, if wanted, ``identifier``,
    ``manufacturer``, ``model``, ``version``; all of them are registered or none."""

    permission: ClassVar = Permission.CONFIGURATION_APPLY
    secret: ClassVar = False

    def __init__(self, registry: TpmRegistry) -> None:
        self._registry = registry

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        planned = await self._registry.plan(_registrations(payload), actor=by.actor)
        lines = [
            f"{one.device.name}: {one.tpm.ek_sha256.hex()}, identifier {one.tpm.identifier}, "
            f"{one.tpm.make.manufacturer} {one.tpm.make.model}"
            for one in planned[:_SHOWN]
        ]
        if len(planned) > _SHOWN:
            lines.append(f"and {len(planned) - _SHOWN} more")
        lines.append("Keys that such a TPM vouches for are attested keys of its device.")
        what = f"the TPM of {planned[0].device.name}" if len(planned) == 1 else f"the TPMs of {len(planned)} devices"
        state: Json = [[one.tpm.ek_sha256.hex(), str(one.tpm.device_id), one.tpm.identifier] for one in planned]
        return Preview(f"Register {what}", tuple(lines), state, size=len(planned))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        made = await self._registry.register(_registrations(payload), actor=order.by.actor, joined=order.unit)
        return {"registered": [one.tpm.ek_sha256.hex() for one in made]}


class TpmRemove:
    """``tpm.remove``. Payload: ``ek`` (hexadecimal SHA-256 of the endorsement key)."""

    permission: ClassVar = Permission.CONFIGURATION_APPLY
    secret: ClassVar = False

    def __init__(self, registry: TpmRegistry) -> None:
        self._registry = registry

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._found(payload)
        lines = (
            f"SHA-256 of its endorsement key: {found.tpm.ek_sha256.hex()}",
            "No attestation key of it is certified any more; those that were are good until they end or are revoked.",
        )
        state: Json = {"ek_sha256": found.tpm.ek_sha256.hex(), "device": str(found.tpm.device_id)}
        return Preview(f"Forget the TPM of {found.device.name}", lines, state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._registry.remove(text(payload, "ek"), actor=order.by.actor, joined=order.unit)
        return {"ek_sha256": found.tpm.ek_sha256.hex()}

    async def _found(self, payload: Mapping[str, Any]) -> Planned:
        return await self._registry.find(text(payload, "ek"))


def _registrations(payload: Mapping[str, Any]) -> list[Registration]:
    try:
        return msgspec.convert(payload.get("tpms"), list[Registration])
    except msgspec.ValidationError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, f"tpms is a list of device and ek: {error}") from error
