"""What is read of Entra ID. Changes come by delta queries: their cursor is a link that Graph itself hands out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from troth.connect import microsoft
from troth.connect.api import VendorApi, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.entra import mapping
from troth.connect.entra.mapping import Device, RiskyUser, User
from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.kit.canonical import Json
from troth.kit.lane import Request

_RISKY: Final = "/v1.0/identityProtection/riskyUsers"
_USERS: Final = "/v1.0/users/delta"
_DEVICES: Final = "/v1.0/devices/delta"
_USER_FIELDS: Final = "id,userPrincipalName,accountEnabled"
_DEVICE_FIELDS: Final = "id,deviceId,accountEnabled,isCompliant,isManaged,operatingSystem,operatingSystemVersion"
_RISK, _USER, _DEVICE = "IdentityRiskyUser.Read.All", "User.Read.All", "Device.Read.All"
_OVERLAP: Final = timedelta(minutes=5)
#: Identity Protection answers one request a second for a tenant, all of its applications together.
_RISK_EVERY: Final = 60


class Entra:
    """One tenant of Entra ID's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        proof = microsoft.proof(wiring)
        self._risk_api = wiring.api(proof, wiring.pace(per_second=0.5, of="identity-protection"))
        #: By which effects act (see ``connect/effects``).
        self.acting: VendorApi = wiring.api(proof, wiring.pace(per_second=10, burst=10, of="graph"))
        poll = wiring.definition.poll_seconds
        offered = [
            Read("risk", self.risk, self._probe_risk, _RISK, max(poll, _RISK_EVERY)),
            Read("users", self.users, self._probe_users, _USER, poll),
            Read("devices", self.devices, self._probe_devices, _DEVICE, poll),
        ]
        self.reads: Sequence[Read] = tuple(read for read in offered if read.name in self._options.read)

    async def push(self, request: Request) -> Pushed:
        """Nothing is pushed here: what Graph notifies of is what the delta queries read."""
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def risk(self, cursor: Json) -> Pulled:
        """Users whose risk has changed. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        found, state = await microsoft.sweep(
            self._risk_api,
            self._wiring,
            cursor,
            _RISKY,
            "riskLastUpdatedDateTime",
            top=500,
            scope=_RISK,
            overlap=_OVERLAP,
        )
        signals, spoilt = each(
            found.items,
            lambda item: mapping.risk_signal(self._wiring, shaped(item, RiskyUser)),
            name=lambda item: f"risk:{item['id']}:{item.get('riskLastUpdatedDateTime', '')}",
        )
        return Pulled(signals, (), state, bool(found.following), spoilt)

    async def users(self, cursor: Json) -> Pulled:
        """Accounts that have changed. Cursor: ``link`` (next page or delta), and whether the first round is over."""
        page, first, mark, now = await self._delta(cursor, _USERS, _USER_FIELDS, _USER)
        if page.lost:
            return Pulled(cursor=_anew(now))
        users, spoilt = each(page.items, lambda item: shaped(item, User), name=lambda item: f"user:{item['id']}:{mark}")
        signals = [
            one for user in users
            if (one := mapping.user_signal(self._wiring, user, at=now, mark=mark, first=first)) is not None
        ]  # fmt: skip
        reports = [report for user in users if (report := mapping.user_report(user, now)) is not None]
        return Pulled(signals, reports, _cursor(page, first), bool(page.following), spoilt)

    async def devices(self, cursor: Json) -> Pulled:
        """Devices that have changed. Cursor: as of users."""
        page, first, mark, now = await self._delta(cursor, _DEVICES, _DEVICE_FIELDS, _DEVICE)
        if page.lost:
            return Pulled(cursor=_anew(now))
        devices, spoilt = each(
            page.items, lambda item: shaped(item, Device), name=lambda item: f"device:{item['id']}:{mark}"
        )
        signals = [
            one for device in devices
            for one in mapping.device_signals(self._wiring, device, at=now, mark=mark, first=first)
        ]  # fmt: skip
        reports = [report for device in devices if (report := mapping.device_report(device, now)) is not None]
        return Pulled(signals, reports, _cursor(page, first), bool(page.following), spoilt)

    async def _delta(self, cursor: Json, path: str, fields: str, scope: str) -> Any:
        """A page of a delta query; whether it belongs to the first round; what marks it; when it was asked for.

        The mark is the link: read again from the same cursor, the same page gives the same messages.
        """
        known = cursor if isinstance(cursor, dict) else {}
        link, first = str(known.get("link") or ""), not known.get("complete")
        now = self._wiring.clock.now()
        query = None if link else {"$select": fields}
        page = await microsoft.page(self.acting, link or path, query, scope=scope)
        mark = f"{known.get('again') or ''} {link}"
        return page, first, hashlib.sha256(mark.encode()).hexdigest()[:24], now

    async def _probe_risk(self) -> None:
        await self._risk_api.get(_RISKY, {"$top": "1"}, scope=_RISK)

    async def _probe_users(self) -> None:
        await self.acting.get("/v1.0/users", {"$top": "1", "$select": "id"}, scope=_USER)

    async def _probe_devices(self) -> None:
        await self.acting.get("/v1.0/devices", {"$top": "1", "$select": "id"}, scope=_DEVICE)


def _anew(now: datetime) -> dict[str, Json]:
    """Graph has lost the state: everything is read again, and everything is told, for what was missed was not seen."""
    return {"link": "", "complete": True, "again": now.isoformat()}


def _cursor(page: microsoft.GraphPage, first: bool) -> dict[str, Json]:
    if page.following:
        return {"link": page.following, "complete": not first}
    return {"link": page.delta, "complete": bool(page.delta)}
