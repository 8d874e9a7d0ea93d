"""The state of an authority as an act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.authorities import AuthorityState
from troth.pki.catalogue import Catalogue
from troth.pki.lifecycle import TRANSITIONS, change_state, check_transition, without_issuer
from troth.store.pool import Database
from troth.store.unit import Unit


class AuthorityStateChange:
    """``authority.state``: planned, active, retiring or retired. Payload: ``authority``, ``state``."""

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        slug, state = text(payload, "authority"), text(payload, "state")
        await self._catalogue.refresh()
        authority = self._catalogue.authority(slug)
        if state not in TRANSITIONS:
            raise ApprovalRefused(PAYLOAD_INVALID, f"a state is one of {', '.join(TRANSITIONS)}")
        check_transition(authority, state, self._clock.now())
        lines = [f"{authority.name} is {authority.state} now."]
        if state == "active":
            lines.append("It issues certificates from then on.")
        else:
            lines.append("It issues no certificate any more; CRLs and OCSP go on until the last one has expired.")
        left = without_issuer(self._catalogue.authorities, slug) if state != "active" else ()
        if left:
            lines.append(f"Nobody issues any more for: {', '.join(left)}.")
        if state == "retired":
            lines.append("It does not come back from there.")
        return Preview(f"The authority {slug} becomes {state}", tuple(lines), {"state": authority.state})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        await self.preview(payload, order.by)
        slug, state = text(payload, "authority"), text(payload, "state")
        authority = self._catalogue.authority(slug)
        unit = change_state(Unit(), authority, cast("AuthorityState", state), actor=order.by.actor)
        await self._database.commit(unit.absorb(order.unit))
        await self._catalogue.refresh()
        return {"authority": slug, "state": state}
