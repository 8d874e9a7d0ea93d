"""Acts on what follows from standings: the document of reactions, and the secrets of its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.store.pool import Database
from troth.trust.outbox.desk import EffectDesk
from troth.web.acts.documents import told
from troth.web.changes import reactions_change

#: Lines of a diff that a preview shows; the document itself is shown whole.
_LINES = 200


class ReactionsApply:
    """``reactions.apply``: what each standing leads to, and where."""

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, desk: EffectDesk) -> None:
        self._database = database
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._desk.plan(text(payload, "document"))
        before = plan.before.version if plan.before else 0
        lines = plan.diff.splitlines()[:_LINES] if plan.changes else ["They are in force already; nothing changes."]
        return Preview(
            f"Apply reactions, version {plan.reactions.version}", tuple(lines), {"reactions": before}
        )  # fmt: skip

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._desk.plan(text(payload, "document"))
        unit = order.unit
        if plan.changes:
            unit = self._desk.unit(plan, actor=order.by.actor).absorb(unit)
        await self._database.commit(unit)
        return told([reactions_change(plan)])
