"""The state of an authority as an act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.pki.authority_store import AUTHORITY_IN_STATE, SET_AUTHORITY_STATE
from troth.pki.catalogue import Catalogue
from troth.pki.errors import AUTHORITY_INACTIVE, AuthorityRefused
from troth.store.pool import Database
from troth.store.unit import Unit

#: From where an authority goes where. A retired one comes back as retiring, if a rollover is backed out of.
TRANSITIONS: Mapping[str, tuple[str, ...]] = {
    "planned": ("active", "retired"),
    "active": ("retiring", "retired"),
    "retiring": ("active", "retired"),
    "retired": ("retiring",),
}


class AuthorityStateChange:
    """``authority.state``: planned, active, retiring or retired. Payload: ``authority``, ``state``."""

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        slug, state = text(payload, "authority"), text(payload, "state")
        await self._catalogue.refresh()
        authority = self._catalogue.authority(slug)
        if state not in TRANSITIONS:
            raise ApprovalRefused(PAYLOAD_INVALID, f"a state is one of {', '.join(TRANSITIONS)}")
        if state not in TRANSITIONS[authority.state]:
            raise AuthorityRefused(
                AUTHORITY_INACTIVE, f"authority {slug} is {authority.state} and cannot become {state}", state=state
            )
        issues = "It issues certificates from then on." if state == "active" else "It issues no certificate any more."
        lines = (f"{authority.name} is {authority.state} now.", issues, "It goes on signing its CRLs.")
        return Preview(f"The authority {slug} becomes {state}", lines, {"state": authority.state})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        await self.preview(payload, order.by)
        slug, state = text(payload, "authority"), text(payload, "state")
        before = self._catalogue.authority(slug).state
        refused = AuthorityRefused(AUTHORITY_INACTIVE, f"authority {slug} is not {before} any more", state=before)
        unit = Unit().guard(AUTHORITY_IN_STATE, slug, before, refuse=refused, key=("authority", slug))
        unit.write(SET_AUTHORITY_STATE, slug, state)
        data: dict[str, Json] = {"slug": slug, "before": before, "state": state}
        unit.record(Event("authority.state_changed", order.by.actor, (f"authority:{slug}",), data))
        await self._database.commit(unit.absorb(order.unit))
        await self._catalogue.refresh()
        return {"authority": slug, "state": state}
