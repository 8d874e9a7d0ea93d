"""Acts on an authority: its state, and how its CRLs are cut."""

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
from troth.pki.crl_settings import require_cut, set_crls
from troth.pki.lifecycle import TRANSITIONS, change_state, check_transition, without_issuer
from troth.store.pool import Database
from troth.store.unit import Unit


class CrlCut:
    """``authority.crls``: over how many CRLs new certificates are spread.

    Payload: ``authority``, ``shards``, ``deltas``. Shards are never taken back, so it is for good.
    """

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        slug, shards, deltas = self._read(payload)
        before = await require_cut(self._catalogue, slug, shards)
        with_deltas = "Changes are told in deltas" if deltas else "Each change makes a whole CRL"
        lines = (
            f"Certificates issued from then on are spread over {shards} CRLs; until now over {before.crl_shards}.",
            "This cannot be taken back: a certificate names its CRL for as long as it lives.",
            f"{with_deltas}; until now {'they are' if before.crl_deltas else 'it does'}.",
        )
        state: Json = {"shards": before.crl_shards, "deltas": before.crl_deltas}
        return Preview(f"Cut the CRLs of {slug} into {shards} shards", lines, state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        slug, shards, deltas = self._read(payload)
        await set_crls(
            self._database, self._catalogue, slug, shards=shards, deltas=deltas, actor=order.by.actor, joined=order.unit
        )
        return {"authority": slug, "shards": shards, "deltas": deltas}

    def _read(self, payload: Mapping[str, Any]) -> tuple[str, int, bool]:
        shards, deltas = payload.get("shards"), payload.get("deltas", False)
        if not isinstance(shards, int) or isinstance(shards, bool) or not isinstance(deltas, bool):
            raise ApprovalRefused(PAYLOAD_INVALID, "shards is a number, deltas true or false")
        return text(payload, "authority"), shards, deltas


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
