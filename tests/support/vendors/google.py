"""Google's Admin SDK as its documents describe it: activities, users, channels, tokens of service accounts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply
from troth.client.jose import b64url_decode

ACTIVITIES = "/admin/reports/v1/activity/users/all/applications"
USERS = "/admin/directory/v1/users"
_REPORTS = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
_DIRECTORY = "https://www.googleapis.com/auth/admin.directory.user.readonly"
_KEY = rsa.generate_private_key(65537, 2048)
#: The JSON key as Google hands it out. Where its ``token_uri`` leads nothing may be sent.
SERVICE_ACCOUNT = json.dumps({
    "type": "service_account", "client_email": "troth@project.iam.gserviceaccount.com", "private_key_id": "k1",
    "private_key": _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "token_uri": "https://evil.example/token",
})  # fmt: skip


class Workspace(FakeVendor):
    """One customer.

    Attributes:
        activities: by application, in the order in which they became visible. users: by id. channels: as made.
    """

    token_path = "/token"
    token_seconds = 3599

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.activities: dict[str, list[dict[str, Any]]] = {"login": [], "admin": []}
        self.users: dict[str, dict[str, Any]] = {}
        self.channels: list[dict[str, Any]] = []
        self.claims: list[dict[str, Any]] = []
        self.page = 2

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("GET", f"{ACTIVITIES}/*"): self._activities,
            ("POST", f"{ACTIVITIES}/*"): self._watch,
            ("GET", USERS): self._users,
        }

    def needs(self, call: Call) -> str | None:
        return _DIRECTORY if call.path == USERS else _REPORTS

    def client_known(self, call: Call) -> bool:
        form = call.form
        head, body, signature = form.get("assertion", "..").split(".")
        try:
            _KEY.public_key().verify(b64url_decode(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        claims = json.loads(b64url_decode(body))
        self.claims.append(claims)
        return bool(
            form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            and claims["aud"] == f"{self.url}/token"
            and claims["exp"] - claims["iat"] <= 3600
        )

    # --- what lies there ---------------------------------------------------------------------------------------------

    def happens(self, name: str, email: str = "u1@corp.example", application: str = "login", **fields: Any) -> None:
        """An activity that becomes visible now."""
        about = [{"name": "USER_EMAIL", "value": email}] if application == "admin" else []
        actor = {"email": "admin@corp.example" if application == "admin" else email, "profileId": "1"}
        self.activities[application].append({
            "kind": "admin#reports#activity", "actor": actor,
            "id": {"time": _text(self.clock.now()), "uniqueQualifier": f"-{len(self.activities[application])}",
                   "applicationName": application, "customerId": "C1"},
            "events": [{"type": "x", "name": name,
                        "parameters": [*about, {"name": "is_suspicious", "boolValue": True},
                                       {"name": "login_challenge_method", "multiValue": ["password"]}]}],
        } | fields)  # fmt: skip

    def user(self, id: str, suspended: bool = False, **fields: Any) -> None:
        """A user."""
        self.users[id] = {"kind": "admin#directory#user", "id": id, "primaryEmail": f"{id}@corp.example",
                          "suspended": suspended} | fields  # fmt: skip

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _activities(self, call: Call) -> Reply:
        application = call.path.rpartition("/")[2]
        start, end = call.query.get("startTime", ""), call.query.get("endTime", "9")
        found = [one for one in self.activities[application] if start <= one["id"]["time"] <= end]
        found.sort(key=lambda one: str(one["id"]["time"]), reverse=True)
        return self._paged(call, found, "items", "admin#reports#activities")

    async def _users(self, call: Call) -> Reply:
        assert call.query["customer"] == "my_customer"
        found = sorted(self.users.values(), key=lambda one: str(one["id"]))
        if call.query.get("query") == "isSuspended=true":
            found = [one for one in found if one["suspended"]]
        return self._paged(call, found, "users", "admin#directory#users")

    def _paged(self, call: Call, found: list[Any], field: str, kind: str) -> Reply:
        place = int(call.query.get("pageToken") or 0)
        body: dict[str, Any] = {"kind": kind, "etag": "x"}
        if found[place : place + self.page]:
            body[field] = found[place : place + self.page]
        if place + self.page < len(found):
            body["nextPageToken"] = str(place + self.page)
        return Reply(200, body)

    async def _watch(self, call: Call) -> Reply:
        self.channels.append(call.json | {"path": call.path})
        return Reply(200, {"kind": "api#channel", "id": call.json["id"], "resourceId": "r"})


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
