"""Jamf Pro as its documents describe it: API clients, the inventory of computers, members of smart groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply

INVENTORY = "/api/v1/computers-inventory"
GROUP = "/api/v2/computer-groups/smart-group-membership/7"
_SCOPES = {INVENTORY: "Read Computers", GROUP: "Read Smart Computer Groups"}


class JamfPro(FakeVendor):
    """One server.

    Attributes:
        computers: what it knows, by number. members: of the smart group 7.
    """

    token_path = "/api/oauth/token"
    token_seconds = 1199

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.computers: dict[str, dict[str, Any]] = {}
        self.members: list[int] = []

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("GET", INVENTORY): self._inventory, ("GET", GROUP): self._group}

    def needs(self, call: Call) -> str | None:
        return _SCOPES.get(call.path)

    def computer(self, number: int, **sections: Any) -> dict[str, Any]:
        """A computer whose inventory is taken now."""
        made: dict[str, Any] = {
            "id": str(number), "udid": f"UDID-{number}",
            "general": {"name": f"mac-{number}", "reportDate": _text(self.clock.now()), "platform": "Mac",
                        "remoteManagement": {"managed": True, "managementUsername": ""}},
            "hardware": {"serialNumber": f"SN-{number}", "macAddress": "00:50:56:90:80:e0"},
            "operatingSystem": {"name": "macOS", "version": "15.6.1"},
            "security": {"sipStatus": "ENABLED", "firewallEnabled": True, "secureBootLevel": "FULL_SECURITY"},
            "diskEncryption": {"bootPartitionEncryptionDetails": {"partitionFileVault2State": "ENCRYPTED"}},
        } | sections  # fmt: skip
        self.computers[made["id"]] = made
        return made

    async def _inventory(self, call: Call) -> Reply:
        found = sorted(self.computers.values(), key=lambda one: int(one["id"]))
        wanted = re.match(r'general\.reportDate=ge="(.+)"\Z', call.query.get("filter", ""))
        if wanted is not None:
            found = [one for one in found if one["general"]["reportDate"] >= wanted.group(1)]
        size = int(call.query["page-size"])
        start = int(call.query.get("page", "0")) * size
        return Reply(200, {"totalCount": len(found), "results": found[start : start + size]})

    async def _group(self, call: Call) -> Reply:
        return Reply(200, {"members": list(self.members)})


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
