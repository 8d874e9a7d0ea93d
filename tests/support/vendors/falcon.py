"""CrowdStrike Falcon as its documents describe it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply

_SCOPES = {
    "/alerts/": "Alerts: read",
    "/devices/": "Hosts: read",
    "/zero-trust-assessment/": "Zero Trust Assessment: read",
    "/sensors/": "Event streams: read",
}


class Falcon(FakeVendor):
    """One tenant.

    Attributes:
        alerts, hosts, scores: what it knows, by id. page: at most so many in a page.
        events: lines of the event stream, in the order of their offsets. live: set when there are more.
    """

    token_status = 201
    token_seconds = 1799

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.alerts: dict[str, dict[str, Any]] = {}
        self.hosts: dict[str, dict[str, Any]] = {}
        self.scores: dict[str, int] = {}
        self.page = 2
        self.events: list[dict[str, Any]] = []
        self.live = asyncio.Event()
        self.refreshed: list[Mapping[str, str]] = []

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/alerts/combined/alerts/v1"): self._alerts,
            ("GET", "/devices/queries/devices-scroll/v1"): self._scroll,
            ("POST", "/devices/entities/devices/v2"): self._devices,
            ("GET", "/zero-trust-assessment/queries/assessments/v1"): self._scores,
            ("GET", "/sensors/entities/datafeed/v2"): self._datafeed,
            ("POST", "/sensors/entities/datafeed-actions/v1/0"): self._refresh,
            ("GET", "/sensors/entities/datafeed/v1/0"): self._stream,
        }

    def needs(self, call: Call) -> str | None:
        return next((scope for path, scope in _SCOPES.items() if call.path.startswith(path)), None)

    def authorized(self, call: Call) -> bool:
        if call.path == "/sensors/entities/datafeed/v1/0":
            return call.headers.get("authorization") == "Token session-1"
        return super().authorized(call)

    def client_known(self, call: Call) -> bool:
        return call.headers.get("content-type") == "application/x-www-form-urlencoded" and super().client_known(call)

    # --- what lies there ---------------------------------------------------------------------------------------------

    def alert(self, number: int, aid: str, **fields: Any) -> dict[str, Any]:
        """An alert that is written now."""
        at = _text(self.clock.now())
        made: dict[str, Any] = {
            "composite_id": f"cid:ind:{aid}:{number}", "agent_id": aid, "device": {"device_id": aid},
            "status": "new", "severity": 70, "severity_name": "High", "confidence": 80, "product": "epp",
            "tactic": "Credential Access", "technique": "OS Credential Dumping", "display_name": "LsassDump",
            "created_timestamp": at, "updated_timestamp": at, "some_new_field": {"x": 1},
        } | fields  # fmt: skip
        self.alerts[made["composite_id"]] = made
        return made

    def change(self, alert: dict[str, Any], **fields: Any) -> None:
        """The alert changes now."""
        alert.update(fields, updated_timestamp=_text(self.clock.now()))

    def host(self, aid: str, **fields: Any) -> dict[str, Any]:
        """A host that is seen now."""
        at = _text(self.clock.now())
        made: dict[str, Any] = {
            "device_id": aid, "serial_number": f"SN-{aid}", "hostname": f"host-{aid}", "platform_name": "Windows",
            "os_version": "Windows 11", "status": "normal", "last_seen": at, "modified_timestamp": at,
            "reduced_functionality_mode": "no",
        } | fields  # fmt: skip
        self.hosts[aid] = made
        return made

    def contain(self, aid: str, status: str = "contained") -> None:
        """The host's network is cut, or not."""
        self.hosts[aid].update(status=status, modified_timestamp=_text(self.clock.now()))

    def event(self, kind: str = "EppDetectionSummaryEvent", **fields: Any) -> None:
        """A line of the stream."""
        at = int(self.clock.now().timestamp() * 1000)
        self.events.append(
            {"metadata": {"offset": len(self.events), "eventType": kind, "eventCreationTime": at,
                          "customerIDString": "cid"}, "event": fields}
        )  # fmt: skip
        self.live.set()

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _alerts(self, call: Call) -> Reply:
        asked = call.json
        since = re.match(r"updated_timestamp:>='(.+)'\Z", asked.get("filter", "updated_timestamp:>='0'"))
        assert since is not None, asked
        assert asked.get("sort") in (None, "created_timestamp|asc")
        found = [one for one in self.alerts.values() if one["updated_timestamp"] >= since.group(1)]
        found.sort(key=lambda one: (one["created_timestamp"], one["composite_id"]))
        start, page = int(asked.get("after") or 0), min(self.page, asked["limit"])
        more = start + page < len(found)
        pagination = {"total": len(found), "limit": page} | ({"after": str(start + page)} if more else {})
        return _page(found[start : start + page], pagination)

    async def _scroll(self, call: Call) -> Reply:
        wanted, found = call.query.get("filter", ""), sorted(self.hosts)
        if wanted.startswith("status:"):
            statuses = re.findall(r"'([a-z_]+)'", wanted)
            found = [aid for aid in found if self.hosts[aid]["status"] in statuses]
        elif wanted:
            since = wanted.removeprefix("modified_timestamp:>='").removesuffix("'")
            found = [aid for aid in found if self.hosts[aid]["modified_timestamp"] >= since]
        start, page = int(call.query.get("offset") or 0), min(self.page, int(call.query["limit"]))
        more = start + page < len(found)
        return _page(found[start : start + page], {"total": len(found), "offset": str(start + page) if more else ""})

    async def _devices(self, call: Call) -> Reply:
        return _page([self.hosts[aid] for aid in call.json["ids"] if aid in self.hosts], {})

    async def _scores(self, call: Call) -> Reply:
        found = sorted(self.scores.items(), key=lambda one: (one[1], one[0]))
        start, page = int(call.query.get("after") or 0), min(self.page, int(call.query["limit"]))
        more = start + page < len(found)
        lines = [{"aid": aid, "score": score} for aid, score in found[start : start + page]]
        return _page(lines, {"after": str(start + page) if more else ""})

    # --- the stream --------------------------------------------------------------------------------------------------

    async def _datafeed(self, call: Call) -> Reply:
        return _page(
            [{"dataFeedURL": f"{self.url}/sensors/entities/datafeed/v1/0?appId={call.query['appId']}",
              "sessionToken": {"token": "session-1", "expiration": "2026-03-02T10:00:00Z"},
              "refreshActiveSessionURL": f"{self.url}/sensors/entities/datafeed-actions/v1/0",
              "refreshActiveSessionInterval": 1800}], {},
        )  # fmt: skip

    async def _refresh(self, call: Call) -> Reply:
        self.refreshed.append(call.query)
        return _page([], {})

    async def _stream(self, call: Call) -> Reply:
        return Reply(200, chunks=self._lines(int(call.query.get("offset") or 0)))

    async def _lines(self, place: int) -> AsyncIterator[bytes]:
        yield b"\r\n"
        while True:
            self.live.clear()
            for event in self.events[place:]:
                line = json.dumps(event).encode() + b"\r\n"
                yield line[:20]
                yield line[20:]
            place = max(place, len(self.events))
            await self.live.wait()


def _page(resources: list[Any], pagination: dict[str, Any]) -> Reply:
    return Reply(200, {"meta": {"query_time": 0.1, "pagination": pagination, "trace_id": "t"}, "errors": [],
                       "resources": resources})  # fmt: skip


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
