"""Connectors as an act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.connect.definition import parse_connectors
from troth.connect.desk import ConnectorDesk
from troth.kit.canonical import Json
from troth.web.acts.documents import told
from troth.web.changes import connector_changes


class ConnectorApply:
    """``connector.apply``: with which systems Troth speaks, as whom, and for which feed."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = False

    def __init__(self, desk: ConnectorDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        planned = await self._desk.preview(parse_connectors(text(payload, "document")))
        present = {one.stored.name: one.stored.definition for one in await self._desk.book()}
        lines = tuple(
            f"connector {one.definition.name}: {one.change.value}; {one.definition.vendor} at "
            f"{one.definition.base_url or one.definition.cloud or 'no address'} speaks for {one.definition.feed}"
            + ("; its secrets are forgotten" if one.moved else "")
            for one in planned
        )
        names = [one.definition.name for one in planned]
        state: Json = {name: msgspec.to_builtins(present[name]) if name in present else None for name in names}
        return Preview(f"Apply connector {', '.join(names)}", lines, state, size=len(planned))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        definitions = parse_connectors(text(payload, "document"))
        return told(connector_changes(await self._desk.apply(definitions, actor=order.by.actor, joined=order.unit)))
