"""Whom attestations must lead to, as an act: whoever may say it can have any key called attested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.enroll.attest.anchors import read_roots, shipped_roots
from troth.enroll.attest.errors import ROOT_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import FORMATS, Root
from troth.enroll.attest.service import Attestations
from troth.kit.canonical import Json
from troth.kit.clock import Clock


class AttestationRoots:
    """``attestation.roots``. Payload: ``format``, ``pem`` (may be empty), ``shipped`` (those of the makers count too),
    ``reason``."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, attestations: Attestations, clock: Clock) -> None:
        self._attestations = attestations
        self._clock = clock

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        kind, roots, shipped = self._read(payload, by.actor)
        present = (await self._attestations.store.roots()).get(kind)
        after = [*(shipped_roots()[kind] if shipped else ()), *roots]
        lines = [f"{one.name}, SHA-256 {one.sha256}" for one in after]
        if not after:
            lines.append("None: nobody's attestations of this format are taken any more.")
        state: Json = {"format": kind, "version": 0 if present is None else present.version}
        return Preview(f"Pin the roots of {kind} attestations", tuple(lines), state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        kind, _, shipped = self._read(payload, order.by.actor)
        made = await self._attestations.set_roots(
            kind, str(payload.get("pem", "")).encode(), shipped=shipped, actor=order.by.actor,
            reason=text(payload, "reason"), joined=order.unit,
        )  # fmt: skip
        return {"format": kind, "version": made.version}

    def _read(self, payload: Mapping[str, Any], actor: str) -> tuple[str, tuple[Root, ...], bool]:
        kind, pem, shipped = text(payload, "format"), payload.get("pem", ""), payload.get("shipped")
        if not isinstance(pem, str) or not isinstance(shipped, bool):
            raise ApprovalRefused(PAYLOAD_INVALID, "pem is a text, and shipped is true or false")
        if kind not in FORMATS:
            raise AttestationRefused(ROOT_UNREADABLE, f"there is no such format; there are {', '.join(FORMATS)}")
        if not text(payload, "reason").strip():
            raise ApprovalRefused(PAYLOAD_INVALID, "say why, in the reason")
        roots = read_roots(pem.encode(), origin=actor, at=self._clock.now()) if pem.strip() else ()
        return kind, roots, shipped
