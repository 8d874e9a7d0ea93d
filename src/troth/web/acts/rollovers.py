"""The steps of a rollover as acts, and cross-certificates."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import identifier, text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.ops.rollover.service import Rollovers, Step
from troth.pki.catalogue import Catalogue
from troth.pki.cross import CrossCertificate, add_cross, read_cross
from troth.store.pool import Database
from troth.store.unit import Unit


class RolloverAct:
    """``rollover.start``, ``rollover.advance``, ``rollover.attest`` and ``rollover.back_out``.

    Payloads: ``outgoing``, ``incoming``, ``threshold``, ``drain_days``; or ``rollover`` (its id) with ``override`` (may
    be empty), with ``percent`` and ``reason``, or with ``reason``.
    """

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, catalogue: Catalogue, rollovers: Rollovers, what: str) -> None:
        self._database = database
        self._catalogue = catalogue
        self._rollovers = rollovers
        self._what = what

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        step = await self._step(payload, by.actor)
        return Preview(step.words, step.lines, step.state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        step = await self._step(payload, order.by.actor)
        await self._database.commit(step.unit.absorb(order.unit))
        await self._catalogue.refresh()
        return {"rollover": str(step.rollover)}

    async def _step(self, payload: Mapping[str, Any], actor: str) -> Step:
        if self._what == "start":
            return await self._rollovers.start(
                text(payload, "outgoing"), text(payload, "incoming"), _number(payload, "threshold"),
                _number(payload, "drain_days"), actor=actor,
            )  # fmt: skip
        found = identifier(payload, "rollover")
        if self._what == "advance":
            return await self._rollovers.advance(found, override=text(payload, "override", empty=True), actor=actor)
        if self._what == "attest":
            return await self._rollovers.attest(
                found, _number(payload, "percent"), text(payload, "reason"), actor=actor
            )
        return await self._rollovers.back_out(found, text(payload, "reason"), actor=actor)


class CrossAdd:
    """``authority.cross``: offer a second way up. Payload: ``certificate`` (base64 of DER)."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        cross = await self._read(payload)
        lines = (
            f"{cross.issuer} vouches for {cross.authority}: {cross.x509.subject.rfc4514_string()}",
            f"SHA-256: {cross.sha256.hex()}",
            f"Until {cross.not_after}.",
            "Clients are offered a second chain by it.",
        )
        state: Json = {"authorities": sorted(self._catalogue.authorities)}
        return Preview(f"Offer {cross.authority} under {cross.issuer} as well", lines, state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        cross = await self._read(payload)
        await self._database.commit(add_cross(Unit(), cross, actor=order.by.actor).absorb(order.unit))
        await self._catalogue.refresh()
        return {"authority": cross.authority, "issuer": cross.issuer, "sha256": cross.sha256.hex()}

    async def _read(self, payload: Mapping[str, Any]) -> CrossCertificate:
        try:
            der = b64decode(text(payload, "certificate"), validate=True)
        except (Base64Error, ValueError) as error:
            raise ApprovalRefused(PAYLOAD_INVALID, "certificate is DER in base64") from error
        await self._catalogue.refresh()
        return read_cross(der, self._catalogue.authorities, self._clock.now())


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is a whole number")
    return value
