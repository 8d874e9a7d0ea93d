"""A secret of an access server as an act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.radius.nas.desk import NasDesk


class NasSecret:
    """``nas.secret``: a new secret, made by Troth. Payload: ``nas``, ``how`` (``set`` or ``rotate``), ``coa``."""

    permission: ClassVar = Permission.NETWORK_WRITE
    secret: ClassVar = True

    def __init__(self, desk: NasDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        entry = await self._desk.entry(text(payload, "nas"))
        name = entry.stored.name
        if payload.get("how") == "rotate":
            line = "The present one stays good until the rotation is finished."
        else:
            line = "The present one stops at once." if entry.secrets else "It is its first."
        what = "secret for CoA" if payload.get("coa") else "secret"
        return Preview(f"Make a new {what} for the access server {name}", (line,), {"version": entry.stored.version})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        name, actor = text(payload, "nas"), order.by.actor
        if payload.get("how") == "rotate":
            made = await self._desk.rotate(name, actor=actor, joined=order.unit)
        else:
            coa = bool(payload.get("coa"))
            made = await self._desk.set_secret(name, actor=actor, coa=coa, joined=order.unit)
        return {"nas": name, "secret": made.decode()}
