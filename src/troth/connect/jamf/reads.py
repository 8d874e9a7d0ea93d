"""What is read of Jamf Pro, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from troth.connect.api import VendorApi, moment, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import ANSWER, ConnectorError
from troth.connect.jamf import hook, mapping
from troth.connect.jamf.mapping import Computer
from troth.connect.levels import level
from troth.connect.proof import ClientCredentials
from troth.kit.canonical import Json
from troth.kit.lane import Request

_INVENTORY: Final = "/api/v1/computers-inventory"
_SECTIONS: Final = "?section=GENERAL&section=HARDWARE&section=OPERATING_SYSTEM&section=SECURITY&section=DISK_ENCRYPTION"
_GROUP: Final = "/api/v2/computer-groups/smart-group-membership"
_READ_COMPUTERS, _READ_GROUPS = "Read Computers", "Read Smart Computer Groups"
_PAGE: Final = 100
_OVERLAP: Final = timedelta(minutes=5)


class Jamf:
    """One server of Jamf Pro's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        proof = ClientCredentials(
            wiring.http, wiring.clock, url=f"{wiring.base_url.rstrip('/')}/api/oauth/token",
            client_id=wiring.definition.client_id, secret=wiring.secret("client_secret"),
        )  # fmt: skip
        #: By which effects act (see ``connect/effects``). Jamf asks for no more than five requests at once.
        self.acting: VendorApi = wiring.api(proof, wiring.pace(per_second=5, burst=5))
        definition = wiring.definition
        poll, whole = definition.poll_seconds, definition.snapshot_hours * 3600
        computers = (self._probe_computers, _READ_COMPUTERS)
        reads = [Read("computers", self.computers, *computers, max(poll, 60))]
        if whole:
            reads.append(Read("computers.whole", self.all_computers, *computers, whole, False))
        if self._options.noncompliant_group:
            reads.append(Read("compliance", self.compliance, self._probe_group, _READ_GROUPS, poll))
        self.reads: Sequence[Read] = tuple(reads)

    async def push(self, request: Request) -> Pushed:
        """A webhook."""
        return hook.read(self._wiring, request)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def computers(self, cursor: Json) -> Pulled:
        """Computers whose inventory has changed. Cursor: ``since``, and within a sweep ``began`` and ``page``."""
        known = cursor if isinstance(cursor, dict) else {}
        now = self._wiring.clock.now()
        back = timedelta(hours=self._options.lookback_hours)
        since = str(known.get("since") or (now - back).isoformat())
        began = str(known.get("began") or now.isoformat())
        pulled = await self._page(_number(known), {"filter": f'general.reportDate=ge="{_time(since)}"'})
        state: dict[str, Json] = {"since": since, "began": began, "page": pulled.cursor}
        if not pulled.more:
            state = {"since": max(moment(since), moment(began) - _OVERLAP).isoformat()}
        return Pulled((), pulled.reports, state, pulled.more, pulled.spoilt)

    async def all_computers(self, cursor: Json) -> Pulled:
        """Every computer, from time to time: what a sweep of changes may have missed."""
        pulled = await self._page(_number(cursor if isinstance(cursor, dict) else {}), {})
        return Pulled((), pulled.reports, {"page": pulled.cursor} if pulled.more else None, pulled.more, pulled.spoilt)

    async def _page(self, number: int, wanted: dict[str, str]) -> Pulled:
        query = wanted | {"page": str(number), "page-size": str(_PAGE), "sort": "id:asc"}
        answer = await self.acting.get(_INVENTORY + _SECTIONS, query, scope=_READ_COMPUTERS)
        items = answer.get("results") if isinstance(answer, dict) else None
        total = answer.get("totalCount") if isinstance(answer, dict) else None
        if not isinstance(items, list) or not isinstance(total, int):
            raise ConnectorError(ANSWER, "results or totalCount is missing")
        trusted = self._options.trust_serial
        reports, spoilt = each(
            items,
            lambda item: mapping.computer_report(shaped(item, Computer), trust_serial=trusted),
            name=lambda item: f"computer:{item['id']}:{item['general'].get('reportDate', '')}",
        )
        more = bool(items) and (number + 1) * _PAGE < total
        return Pulled((), reports, number + 1, more, spoilt)

    async def compliance(self, cursor: Json) -> Pulled:
        """Who does not comply: a level, told when it changes. Cursor: who did not, and when that was looked at."""
        now = self._wiring.clock.now()
        found = level(cursor, "members", await self._members(), now)
        signals = [
            mapping.compliance_signal(self._wiring, one, complies=not listed, since=found.since, at=now)
            for one, listed in found.changed
        ]
        return Pulled(signals, (), found.cursor)

    async def _members(self) -> list[str]:
        answer = await self.acting.get(f"{_GROUP}/{self._options.noncompliant_group}", scope=_READ_GROUPS)
        members = answer.get("members") if isinstance(answer, dict) else None
        # A list that is no list must not read as everybody complying.
        if not isinstance(members, list) or not all(isinstance(one, int | str) for one in members):
            raise ConnectorError(ANSWER, "members is no list of numbers")
        return [str(one) for one in members]

    async def _probe_computers(self) -> None:
        await self.acting.get(_INVENTORY, {"section": "GENERAL", "page-size": "1"}, scope=_READ_COMPUTERS)

    async def _probe_group(self) -> None:
        await self._members()


def _number(known: dict[str, Json]) -> int:
    page = known.get("page")
    return page if isinstance(page, int) and not isinstance(page, bool) and page >= 0 else 0


def _time(text: str) -> str:
    return moment(text).strftime("%Y-%m-%dT%H:%M:%SZ")
