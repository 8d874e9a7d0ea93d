"""Revoking many certificates as one act."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.pki.bulk import BulkRevocations
from troth.pki.bulk_store import Selector
from troth.trust.subjects.whom import Subjects

_NAMED = 50
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,20}\Z")


class RevokeMany:
    """``certificate.revoke_many``: revoke whatever a selector finds, for good.

    Payload: ``reason`` (RFC 5280), ``note``, and at least one of ``subject``, ``profile``, ``authority``,
    ``issued_after``, ``issued_before`` (ISO 8601), ``serials`` (hexadecimal). Certificates of protected subjects
    (Troth's own listeners among them) are left out unless ``protected`` is true, or their subject or serial number is
    what was named.
    """

    permission: ClassVar = Permission.CERTIFICATE_REVOKE
    secret: ClassVar = False

    def __init__(self, bulk: BulkRevocations, subjects: Subjects) -> None:
        self._bulk = bulk
        self._subjects = subjects

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        selector, reason, _ = await self._read(payload)
        found = await self._bulk.find(selector, reason)
        profiles = Counter((one.profile, one.authority) for one in found)
        lines = [f"{len(found)} certificates, for good."]
        lines += [f"{count} of profile {profile} by {authority}" for (profile, authority), count in
                  sorted(profiles.items())]  # fmt: skip
        lines += [f"{one.title}, serial number {one.serial.hex()}" for one in found[:_NAMED]]
        if len(found) > _NAMED:
            lines.append(f"… and {len(found) - _NAMED} more")
        if selector.spared:
            left = len(await self._bulk.find(replace(selector, spared=()), reason)) - len(found)
            if left:
                lines.append(f"{left} certificates of protected subjects are left out; name them to revoke them, too.")
        else:
            guarded = await self._subjects.protected()
            hit = len(found) - len(await self._bulk.find(replace(selector, spared=guarded), reason)) if guarded else 0
            if hit:
                lines.insert(1, f"{hit} of them are of protected subjects: Troth's own listeners may be among them.")
        missing = len(selector.serials) - len(found) if selector.serials else 0
        if missing > 0:
            lines.append(f"{missing} of the serial numbers name nothing that could be revoked.")
        digest = hashlib.sha256(b"".join(one.id.bytes for one in found)).hexdigest()
        state: Json = {"count": len(found), "certificates": digest}
        return Preview(f"Revoke {len(found)} certificates", tuple(lines), state, size=len(found))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        selector, reason, note = await self._read(payload)
        bulk_id, total = await self._bulk.order(
            selector, reason=reason, note=note, actor=order.by.actor, joined=order.unit
        )
        return {"bulk": str(bulk_id), "certificates": total}

    async def _read(self, payload: Mapping[str, Any]) -> tuple[Selector, int, str]:
        reason = payload.get("reason", 0)
        serials = payload.get("serials", [])
        if not isinstance(reason, int) or isinstance(reason, bool) or not isinstance(serials, list):
            raise ApprovalRefused(PAYLOAD_INVALID, "reason is a number, serials a list")
        found = []
        for one in serials:
            digits = one.lower().replace(":", "") if isinstance(one, str) else ""
            if not _HEX.match(digits):
                raise ApprovalRefused(PAYLOAD_INVALID, f"{str(one)[:80]!r} is no serial number")
            found.append(bytes.fromhex(digits))
        named = text(payload, "subject", empty=True)
        spare = not (payload.get("protected") is True or named or found)
        selector = Selector(
            subject=(await self._subjects.find(named)).id if named else None,
            profile=text(payload, "profile", empty=True) or None,
            authority=text(payload, "authority", empty=True) or None,
            issued_after=_time(payload, "issued_after"),
            issued_before=_time(payload, "issued_before"),
            serials=tuple(found),
            spared=await self._subjects.protected() if spare else (),
        )
        return selector, reason, text(payload, "note", empty=True)


def _time(payload: Mapping[str, Any], name: str) -> datetime | None:
    value = text(payload, name, empty=True)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is a time in ISO 8601") from error
    if found.tzinfo is None:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} needs its offset from UTC")
    return found
