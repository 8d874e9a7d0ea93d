"""Having certificates renewed early, as one act."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.enroll.acme.incident_store import Selector
from troth.enroll.acme.incidents import Incidents
from troth.kit.canonical import Json

_HEX = re.compile(r"(?:[0-9a-f]{2}){1,21}\Z")


class RenewEarly:
    """``renewal.early``: pull the renewal windows of whatever a selector finds into the past, some a minute.

    Payload: at least one of ``authority``, ``profile``, ``key_algorithm``, ``issued_after``, ``issued_before`` (ISO
    8601), ``serials`` (hexadecimal); ``per_minute``, or ``percent`` of what the installation may renew early in a
    minute; ``note``, ``explanation_url``. Nothing is revoked.
    """

    permission: ClassVar = Permission.CERTIFICATE_REVOKE
    secret: ClassVar = False

    def __init__(self, incidents: Incidents) -> None:
        self._incidents = incidents

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        selector, per_minute = read_selector(payload), self._rate(payload)
        count = await self._incidents.count(selector)
        lasts = timedelta(minutes=-(-count // per_minute))
        lines = (
            f"{count} certificates are renewed before their time, as their clients come to ask (ARI).",
            f"At most {per_minute} of them in a minute: the last one's turn comes {lasts} after the start.",
            "Nothing is revoked; a client that does not ask for renewal information renews when it always does.",
        )
        state: Json = {"selector": selector.text()}
        return Preview(f"Have {count} certificates renewed early", lines, state, size=count)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        incident = await self._incidents.start(
            read_selector(payload),
            per_minute=self._rate(payload),
            note=text(payload, "note", empty=True),
            explanation_url=text(payload, "explanation_url", empty=True),
            actor=order.by.actor,
            joined=order.unit,
        )
        return {"incident": str(incident)}

    def _rate(self, payload: Mapping[str, Any]) -> int:
        rate, percent = payload.get("per_minute"), payload.get("percent")
        given = [one for one in (rate, percent) if one is not None]
        if len(given) != 1 or isinstance(given[0], bool) or not isinstance(given[0], int) or given[0] < 1:
            raise ApprovalRefused(PAYLOAD_INVALID, "give per_minute or percent, a number from 1")
        return given[0] if percent is None else max(1, self._incidents.most * min(given[0], 100) // 100)


def read_selector(payload: Mapping[str, Any]) -> Selector:
    """The selector in an act's payload. Raises ApprovalRefused."""
    serials = payload.get("serials", [])
    if not isinstance(serials, list):
        raise ApprovalRefused(PAYLOAD_INVALID, "serials is a list")
    found = []
    for one in serials:
        digits = one.lower().replace(":", "") if isinstance(one, str) else ""
        if not _HEX.match(digits):
            raise ApprovalRefused(PAYLOAD_INVALID, f"{str(one)[:80]!r} is no serial number")
        number = int(digits, 16)
        found.append(number.to_bytes(number.bit_length() // 8 + 1, "big"))
    return Selector(
        authority=text(payload, "authority", empty=True) or None,
        profile=text(payload, "profile", empty=True) or None,
        key_algorithm=text(payload, "key_algorithm", empty=True) or None,
        issued_after=_time(payload, "issued_after"),
        issued_before=_time(payload, "issued_before"),
        serials=tuple(found),
    )


def _time(payload: Mapping[str, Any], name: str) -> datetime | None:
    value = text(payload, name, empty=True)
    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is a time in ISO 8601") from error
    if found is not None and found.tzinfo is None:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} needs its offset from UTC")
    return found
