"""Acts of enforcement: lifting a freeze, and doing what automation has staged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import identifier, text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.store.pool import Database
from troth.trust.enforcement import action_store
from troth.trust.enforcement.orders import Orders
from troth.trust.signals.errors import ACTION_UNKNOWN, ActionUnknown
from troth.trust.subjects.store import SubjectStore


class Unfreeze:
    """``enforcement.unfreeze``: let automation go on. The payload is empty."""

    permission: ClassVar = Permission.ENFORCEMENT_FREEZE
    secret: ClassVar = False

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        switch = await self._orders.switch()
        since = switch.changed_at.isoformat() if switch.changed_at else None
        line = f"Frozen by {switch.actor}: {switch.reason}" if switch.frozen else "Enforcement is not frozen."
        lines = (line, "What was staged meanwhile stays staged.")
        return Preview("Let automation go on", lines, {"frozen": switch.frozen, "since": since})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        await self._orders.unfreeze(person=order.by.name, reason="", joined=order.unit)
        return {"frozen": False}


class StagedApproval:
    """``staged.approve``: do what automation has staged. Payload: ``action``, ``note``."""

    permission: ClassVar = Permission.STAGED_DECIDE
    secret: ClassVar = False

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        action_id = identifier(payload, "action")
        action = await action_store.find_action(self._database, action_id)
        if action is None:
            raise ActionUnknown(ACTION_UNKNOWN, f"there is no staged action {action_id}")
        subject = await SubjectStore(self._database).by_id(action.subject_id)
        name = f"{subject.kind.value} {subject.name}" if subject else str(action.subject_id)
        certificates = int(action.would.get("certificates", 0))
        lines = (
            f"{name} would become {action.level.value}, because {action.feed} reported {action.cause}.",
            f"{certificates} certificates would be hit.",
        )
        state: Json = {
            "state": action.state.value,
            "standing": subject.standing.value if subject else None,
            "protected": subject.protected if subject else None,
        }
        return Preview(f"Do what {action.feed} wants of {name}: {action.action.value}", lines, state, size=certificates)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        action_id = identifier(payload, "action")
        note = text(payload, "note", empty=True)
        done = await self._orders.approve(action_id, person=order.by.name, note=note, joined=order.unit)
        return {"action": str(action_id), "standing": done.standing.value}
