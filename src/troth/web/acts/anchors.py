"""Foreign trust anchors as acts."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.anchor_store import AnchorStore, TrustAnchor
from troth.pki.anchors import add_anchor, read_anchor, remove_anchor
from troth.pki.errors import ANCHOR_EXISTS, ANCHOR_UNKNOWN, AuthorityRefused
from troth.store.pool import Database
from troth.store.unit import Unit


class AnchorAdd:
    """``trust_anchor.add``. Payload: ``certificate`` (base64 of DER), ``purposes``."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        anchor = self._read(payload, by.actor)
        present = await AnchorStore(self._database).all()
        if anchor.sha256 in {one.sha256 for one in present}:
            raise AuthorityRefused(ANCHOR_EXISTS, anchor.sha256.hex())
        lines = (
            f"Subject: {anchor.x509.subject.rfc4514_string()}",
            f"SHA-256: {anchor.sha256.hex()}",
            f"Until {anchor.not_after}.",
            f"What it has issued is believed for {', '.join(anchor.purposes)}, and for nothing else.",
        )
        state: Json = {"anchors": [one.sha256.hex() for one in present]}
        return Preview(f"Trust the root {anchor.name} of somebody else", lines, state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        anchor = self._read(payload, order.by.actor)
        await self._database.commit(add_anchor(Unit(), anchor).absorb(order.unit))
        return {"sha256": anchor.sha256.hex()}

    def _read(self, payload: Mapping[str, Any], actor: str) -> TrustAnchor:
        purposes = payload.get("purposes")
        if not isinstance(purposes, list) or not all(isinstance(one, str) for one in purposes):
            raise ApprovalRefused(PAYLOAD_INVALID, "purposes is a list of texts")
        try:
            der = b64decode(text(payload, "certificate"), validate=True)
        except (Base64Error, ValueError) as error:
            raise ApprovalRefused(PAYLOAD_INVALID, "certificate is DER in base64") from error
        return read_anchor(der, purposes, actor, self._clock.now())


class AnchorRemove:
    """``trust_anchor.remove``. Payload: ``sha256`` (hexadecimal)."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        anchor = await self._find(payload)
        lines = (f"SHA-256: {anchor.sha256.hex()}", f"It was believed for {', '.join(anchor.purposes)}.")
        return Preview(f"Trust the root {anchor.name} no more", lines, {"sha256": anchor.sha256.hex()})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        anchor = await self._find(payload)
        await self._database.commit(remove_anchor(Unit(), anchor, actor=order.by.actor).absorb(order.unit))
        return {"sha256": anchor.sha256.hex()}

    async def _find(self, payload: Mapping[str, Any]) -> TrustAnchor:
        wanted = text(payload, "sha256").replace(":", "").lower()
        for one in await AnchorStore(self._database).all():
            if one.sha256.hex() == wanted:
                return one
        raise AuthorityRefused(ANCHOR_UNKNOWN, wanted[:80])
