"""Blocking a key on a person's word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.blocked import BlockedKeys, GivenKey, read_key
from troth.pki.blocked_store import BlockedStore
from troth.store.pool import Database

_REASONS = ("compromised", "weak")


class BlockKey:
    """``key.block``: block a key for ever and revoke every certificate that has it.

    Payload: ``key`` (a certificate, request or public key in PEM, or the SHA-256 of a SubjectPublicKeyInfo),
    ``reason`` (``compromised`` or ``weak``), ``note``, and ``confirmed``: how many live certificates were shown.
    """

    permission: ClassVar = Permission.CERTIFICATE_REVOKE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock) -> None:
        self._keys = BlockedKeys(database, clock)
        self._store = BlockedStore(database)

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        given, reason, _ = self._read(payload)
        uses = await self._keys.uses(given.sha256)
        lines = (
            f"Key {given.sha256.hex()} ({reason}) is never certified again.",
            f"{uses.live} live certificates are revoked (keyCompromise), of {uses.ever} that it ever had.",
            "ACME accounts that sign with it are revoked.",
        )
        state: Json = {
            "blocked": await self._store.get(given.sha256) is not None,
            "certificates": await self._store.stated(given.sha256),
        }
        return Preview(f"Block a key that {uses.live} live certificates have", lines, state, size=uses.live)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        given, reason, confirmed = self._read(payload)
        key = await self._keys.block(
            given, reason=reason, note=text(payload, "note", empty=True), actor=order.by.actor, confirmed=confirmed,
            joined=order.unit,
        )  # fmt: skip
        return {"spki_sha256": key.spki_sha256.hex()}

    def _read(self, payload: Mapping[str, Any]) -> tuple[GivenKey, str, int | None]:
        reason, confirmed = text(payload, "reason"), payload.get("confirmed")
        if reason not in _REASONS:
            raise ApprovalRefused(PAYLOAD_INVALID, "reason is compromised or weak")
        if confirmed is not None and (not isinstance(confirmed, int) or isinstance(confirmed, bool)):
            raise ApprovalRefused(PAYLOAD_INVALID, "confirmed is a number")
        return read_key(text(payload, "key").encode()), reason, confirmed
