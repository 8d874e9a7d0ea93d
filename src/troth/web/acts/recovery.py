"""The act of opening the recovery fence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.fence import settle
from troth.pki.fence_store import FenceState, read_fence
from troth.store.pool import Database

_CHOICES: Mapping[str, FenceState] = {"accept-loss": "accepted", "revoke-unknown": "revoked"}
_WORDS = {
    "accept-loss": "What is known is what there is: a revocation that was lost stays lost.",
    "revoke-unknown": "What was issued in the unknown interval is revoked, for ever.",
}


class RecoveryDecide:
    """``recovery.decide``: go on after a restore that may lack something. Payload: ``resume``, ``reason``."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        resume, why = self._read(payload)
        row = await read_fence(self._database)
        closed_at = None if row.closed_at is None else row.closed_at.isoformat()
        lines = [f"The fence is {row.state}: {row.reason}" if row.reason else f"The fence is {row.state}"]
        if row.unknown_from is not None and row.unknown_until is not None:
            lines.append(f"Unknown: {row.unknown_from:%Y-%m-%d %H:%M:%S} to {row.unknown_until:%Y-%m-%d %H:%M:%S} UTC")
        lines += [_WORDS[resume], f"Why: {why}"]
        return Preview(f"Open the recovery fence: {resume}", tuple(lines), {"fence": row.state, "closed_at": closed_at})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        resume, why = self._read(payload)
        await settle(
            self._database,
            choice=_CHOICES[resume],
            actor=order.by.actor,
            why=why,
            at=self._clock.now(),
            joined=order.unit,
        )
        return {"resume": resume}

    def _read(self, payload: Mapping[str, Any]) -> tuple[str, str]:
        resume, why = text(payload, "resume"), text(payload, "reason")
        if resume not in _CHOICES:
            raise ApprovalRefused(PAYLOAD_INVALID, f"resume is {' or '.join(_CHOICES)}")
        return resume, why
