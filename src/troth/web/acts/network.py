"""Access servers, networks and places as acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.web.acts.documents import told
from troth.web.network import NetworkDocument

_LINES = 200


class NetworkApply:
    """``place.apply``, ``network.apply``, ``nas.apply``, ``proxy.apply``: who asks, who is let in, where to."""

    permission: ClassVar = Permission.NETWORK_WRITE
    secret: ClassVar = False

    def __init__(self, document: NetworkDocument) -> None:
        self._document = document

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        planned = await self._document.plan(text(payload, "document"), {})
        what = ", ".join(f"{one.kind} {one.name}" for one in planned.changes[:20])
        return Preview(f"Apply {what}", planned.lines[:_LINES], planned.state, size=len(planned.changes))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        document = text(payload, "document")
        return told(list(await self._document.apply(document, actor=order.by.actor, joined=order.unit)))
