"""Microsoft Graph as its documents describe it: tokens of the identity platform, collections, delta queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply

RISKY = "/v1.0/identityProtection/riskyUsers"
USERS = "/v1.0/users/delta"
DEVICES = "/v1.0/devices/delta"
MANAGED = "/v1.0/deviceManagement/managedDevices"
ALERTS = "/v1.0/security/alerts_v2"
SUBSCRIPTIONS = "/v1.0/subscriptions"
MDE_ALERTS, MDE_MACHINES, MDE_ACTIONS = "/api/alerts", "/api/machines", "/api/machineactions"
_SCOPES = {
    ALERTS: "SecurityAlert.Read.All",
    SUBSCRIPTIONS: "SecurityAlert.Read.All",
    MDE_ALERTS: "Alert.Read.All",
    MDE_MACHINES: "Machine.Read.All",
    MDE_ACTIONS: "Machine.Read.All",
    RISKY: "IdentityRiskyUser.Read.All",
    "/v1.0/users": "User.Read.All",
    "/v1.0/devices": "Device.Read.All",
    MANAGED: "DeviceManagementManagedDevices.Read.All",
}


class Tenant(FakeVendor):
    """One tenant.

    Attributes:
        risky, managed: what it knows, by id. page: at most so many in a page.
        users, devices: changes, in order; a delta link is a place among them.
        expired: delta links that were handed out are answered 410.
    """

    token_path = "/tenant-1/oauth2/v2.0/token"
    token_seconds = 3599

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.risky: dict[str, dict[str, Any]] = {}
        self.managed: dict[str, dict[str, Any]] = {}
        self.users: list[dict[str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self.page = 2
        self.expired = False
        self.alerts: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.mde_alerts: dict[str, dict[str, Any]] = {}
        self.machines: dict[str, dict[str, Any]] = {}
        self.actions: dict[str, dict[str, Any]] = {}

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("GET", RISKY): self._risky,
            ("GET", USERS): lambda call: self._delta(call, self.users),
            ("GET", DEVICES): lambda call: self._delta(call, self.devices),
            ("GET", "/v1.0/users"): self._few,
            ("GET", "/v1.0/devices"): self._few,
            ("GET", MANAGED): self._managed,
            ("GET", ALERTS): lambda call: self._listed(call, self.alerts, "lastUpdateDateTime"),
            ("GET", SUBSCRIPTIONS): lambda call: self._listed(call, self.subscriptions, ""),
            ("POST", SUBSCRIPTIONS): self._subscribe,
            ("PATCH", f"{SUBSCRIPTIONS}/*"): self._renew,
            ("GET", MDE_ALERTS): lambda call: self._listed(call, self.mde_alerts, "lastUpdateTime"),
            ("GET", MDE_MACHINES): lambda call: self._listed(call, self.machines, "lastSeen"),
            ("GET", MDE_ACTIONS): lambda call: self._listed(call, self.actions, "lastUpdateDateTimeUtc"),
        }

    def needs(self, call: Call) -> str | None:
        return next((scope for path, scope in _SCOPES.items() if call.path.startswith(path)), None)

    def unauthorized(self) -> Reply:
        return Reply(401, {"error": {"code": "InvalidAuthenticationToken", "message": "Access token has expired."}})

    def forbidden(self, scope: str) -> Reply:
        return Reply(403, {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges"}})

    async def token(self, call: Call) -> Reply:
        assert call.form["scope"] == f"{self.url}/.default"
        return await super().token(call)

    # --- what lies there ---------------------------------------------------------------------------------------------

    def at_risk(self, user: str, state: str = "atRisk", level: str = "high", **fields: Any) -> None:
        """A user whose risk changes now."""
        self.risky[user] = {
            "id": user, "isDeleted": False, "isProcessing": False, "riskLevel": level, "riskState": state,
            "riskDetail": "none", "riskLastUpdatedDateTime": _text(self.clock.now()),
            "userPrincipalName": f"{user}@corp.example",
        } | fields  # fmt: skip

    def user(self, user: str, enabled: bool | None = True, **fields: Any) -> None:
        """A user that changes now."""
        self.users.append({"id": user, "userPrincipalName": f"{user}@corp.example", "accountEnabled": enabled} | fields)

    def device(self, id: str, **fields: Any) -> None:
        """A device that changes now."""
        self.devices.append({
            "id": f"object-{id}", "deviceId": id, "accountEnabled": True, "isCompliant": True, "isManaged": True,
            "operatingSystem": "Windows", "operatingSystemVersion": "10.0.22631",
        } | fields)  # fmt: skip

    def managed_device(self, id: str, **fields: Any) -> dict[str, Any]:
        """A managed device that checks in now."""
        self.managed[id] = {
            "id": id, "azureADDeviceId": f"aad-{id}", "serialNumber": f"SN-{id}", "complianceState": "compliant",
            "lastSyncDateTime": _text(self.clock.now()), "jailBroken": "Unknown",
            "partnerReportedThreatState": "unknown", "managementState": "managed", "operatingSystem": "Windows",
            "osVersion": "10.0.22631", "isEncrypted": True, "deviceName": f"host-{id}",
            "wiFiMacAddress": "005056908000", "userPrincipalName": "alice@corp.example",
        } | fields  # fmt: skip
        return self.managed[id]

    def alert(self, id: str, *evidence: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A security alert that is written now."""
        self.alerts[id] = {
            "id": id, "providerAlertId": id, "incidentId": "28", "status": "new", "severity": "high",
            "classification": "unknown", "determination": "unknown", "serviceSource": "microsoftDefenderForEndpoint",
            "title": "Suspicious PowerShell", "category": "Execution", "mitreTechniques": ["T1059.001"],
            "alertWebUrl": "https://security.microsoft.com/alerts/x", "lastUpdateDateTime": _text(self.clock.now()),
            "createdDateTime": _text(self.clock.now()), "evidence": list(evidence),
        } | fields  # fmt: skip
        return self.alerts[id]

    def mde_alert(self, id: str, machine: str = "m1", **fields: Any) -> dict[str, Any]:
        """An alert of Defender's that is written now."""
        self.mde_alerts[id] = {
            "id": id, "incidentId": 7, "severity": "High", "status": "New", "classification": None,
            "determination": None, "category": "Malware", "title": "An active 'Mimikatz' was blocked",
            "machineId": machine, "computerDnsName": "host.corp.example", "lastUpdateTime": _text(self.clock.now()),
        } | fields  # fmt: skip
        return self.mde_alerts[id]

    def machine(self, id: str = "m1", **fields: Any) -> dict[str, Any]:
        """A machine that is seen now."""
        self.machines[id] = {
            "id": id, "aadDeviceId": f"aad-{id}", "computerDnsName": "host.corp.example", "osPlatform": "Windows11",
            "version": "23H2", "healthStatus": "Active", "onboardingStatus": "Onboarded", "riskScore": "None",
            "exposureLevel": "Low", "lastSeen": _text(self.clock.now()),
        } | fields  # fmt: skip
        return self.machines[id]

    def action(self, id: str, type: str, status: str = "Succeeded", machine: str = "m1") -> None:
        """Something that is done to a machine now."""
        self.actions[id] = {"id": id, "type": type, "status": status, "machineId": machine, "requestor": "admin@x",
                            "lastUpdateDateTimeUtc": _text(self.clock.now())}  # fmt: skip

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _listed(self, call: Call, found: dict[str, dict[str, Any]], field: str) -> Reply:
        return self._since(call, list(found.values()), field)

    async def _subscribe(self, call: Call) -> Reply:
        made = call.json | {"id": f"s{len(self.subscriptions) + 1}"}
        self.subscriptions[made["id"]] = made
        return Reply(201, made)

    async def _renew(self, call: Call) -> Reply:
        found = self.subscriptions.get(call.path.rpartition("/")[2])
        if found is None:
            return Reply(404, {"error": {"code": "ResourceNotFound", "message": "gone"}})
        found.update(call.json)
        return Reply(200, found)

    async def _few(self, call: Call) -> Reply:
        return Reply(200, {"value": []})

    async def _risky(self, call: Call) -> Reply:
        return self._since(call, list(self.risky.values()), "riskLastUpdatedDateTime")

    async def _managed(self, call: Call) -> Reply:
        return self._since(call, list(self.managed.values()), "lastSyncDateTime")

    def _since(self, call: Call, found: list[dict[str, Any]], field: str) -> Reply:
        wanted = call.query.get("$filter", "")
        if wanted:
            name, operator, moment = wanted.split(" ")
            assert (name, operator) == (field, "ge")
            found = [one for one in found if one[field] >= moment]
        start, page = int(call.query.get("$skiptoken") or 0), min(self.page, int(call.query.get("$top", "500")))
        body: dict[str, Any] = {"@odata.context": "x", "value": found[start : start + page]}
        if start + page < len(found):
            query = {"$skiptoken": start + page, "$top": page} | ({"$filter": wanted} if wanted else {})
            body["@odata.nextLink"] = f"{self.url}{call.path}?{urlencode(query)}"
        return Reply(200, body)

    async def _delta(self, call: Call, changes: list[dict[str, Any]]) -> Reply:
        if self.expired and ("$deltatoken" in call.query or "$skiptoken" in call.query):
            return Reply(410, {"error": {"code": "resyncRequired", "message": "Resync required."}})
        if "$deltatoken" in call.query or "$skiptoken" in call.query:
            start = int(call.query.get("$deltatoken") or call.query["$skiptoken"])
            shown = changes
        else:
            # The first round is of what is, not of how it came to be.
            start, shown = 0, list({one["id"]: one for one in changes}.values())
        items = shown[start : start + self.page]
        body: dict[str, Any] = {"@odata.context": "x", "value": items}
        if start + self.page < len(shown):
            body["@odata.nextLink"] = f"{self.url}{call.path}?$skiptoken={start + self.page}"
        else:
            body["@odata.deltaLink"] = f"{self.url}{call.path}?$deltatoken={len(changes)}"
        return Reply(200, body)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
