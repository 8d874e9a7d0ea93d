"""SentinelOne's management API (v2.1) as its samples describe it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply

_SCOPES = {"/web/api/v2.1/threats": "Threats: view", "/web/api/v2.1/agents": "Endpoints: view"}


class Console(FakeVendor):
    """One console.

    Attributes:
        threats, agents: what it knows, by id. page: at most so many in a page.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.threats: dict[str, dict[str, Any]] = {}
        self.agents: dict[str, dict[str, Any]] = {}
        self.page = 2

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("GET", "/web/api/v2.1/threats"): self._threats, ("GET", "/web/api/v2.1/agents"): self._agents}

    def needs(self, call: Call) -> str | None:
        return _SCOPES.get(call.path)

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == "ApiToken api-token"

    def unauthorized(self) -> Reply:
        return Reply(401, {"errors": [{"code": 4010010, "detail": None, "title": "Authentication Failed"}]})

    def threat(self, number: int, agent: str, **info: Any) -> dict[str, Any]:
        """A threat that is found now."""
        at = _text(self.clock.now())
        made: dict[str, Any] = {
            "id": f"t{number}",
            "agentDetectionInfo": {"agentUuid": agent, "agentOsName": "Windows 10 Home"},
            "agentRealtimeInfo": {"agentUuid": agent, "agentComputerName": f"host-{agent}", "agentInfected": True},
            "threatInfo": {
                "threatId": f"t{number}", "threatName": "eicar.exe", "classification": "Malware",
                "confidenceLevel": "malicious", "analystVerdict": "undefined", "incidentStatus": "unresolved",
                "mitigationStatus": "not_mitigated", "createdAt": at, "updatedAt": at,
            } | info,
            "indicators": [],
        }  # fmt: skip
        self.threats[made["id"]] = made
        return made

    def change(self, threat: dict[str, Any], **info: Any) -> None:
        """The threat changes now."""
        threat["threatInfo"].update(info, updatedAt=_text(self.clock.now()))

    def agent(self, uuid: str, **fields: Any) -> dict[str, Any]:
        """An agent that is seen now."""
        at = _text(self.clock.now())
        made: dict[str, Any] = {
            "id": f"1{uuid}", "uuid": uuid, "serialNumber": f"SN-{uuid}", "computerName": f"host-{uuid}",
            "infected": False, "activeThreats": 0, "isActive": True, "isDecommissioned": False, "osType": "windows",
            "osName": "Windows 11 Pro", "osRevision": "22631", "networkStatus": "connected", "lastActiveDate": at,
            "createdAt": at, "updatedAt": at, "encryptedApplications": True,
            "networkInterfaces": [{"physical": "00:50:56:90:80:e0"}],
        } | fields  # fmt: skip
        self.agents[uuid] = made
        return made

    async def _threats(self, call: Call) -> Reply:
        since = call.query.get("updatedAt__gte", "")
        found = [one for one in self.threats.values() if one["threatInfo"]["updatedAt"] >= since]
        return self._paged(call, found)

    async def _agents(self, call: Call) -> Reply:
        since = call.query.get("updatedAt__gte", "")
        found = [one for one in self.agents.values() if one["updatedAt"] >= since]
        if "networkStatuses" in call.query:
            wanted = call.query["networkStatuses"].split(",")
            found = [one for one in found if one["networkStatus"] in wanted]
        return self._paged(call, found)

    def _paged(self, call: Call, found: list[Any]) -> Reply:
        start, page = int(call.query.get("cursor") or 0), min(self.page, int(call.query["limit"]))
        following = str(start + page) if start + page < len(found) else None
        body = {"data": found[start : start + page], "pagination": {"totalItems": len(found), "nextCursor": following}}
        return Reply(200, body)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
