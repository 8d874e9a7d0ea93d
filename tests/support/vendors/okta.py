"""Okta as its documents describe it: the System Log in polling mode, users, and the token of a service application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.vendors.server import Call, FakeVendor, Handler, Reply
from troth.client.jose import b64url_decode

_SCOPES = {"/api/v1/logs": "okta.logs.read", "/api/v1/users": "okta.users.read"}
KEY = rsa.generate_private_key(65537, 2048)
PRIVATE_KEY = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class OktaOrg(FakeVendor):
    """One organisation.

    Attributes:
        log: its lines, in the order in which they became visible. users: by id. page: at most so many users in a page.
        forgotten: links that it knows no longer.
    """

    token_path = "/oauth2/v1/token"
    token_seconds = 3600

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.log: list[dict[str, Any]] = []
        self.users: dict[str, dict[str, Any]] = {}
        self.page = 2
        self.log_page = 1000
        self.forgotten = False
        self.assertions: list[dict[str, Any]] = []

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("GET", "/api/v1/logs"): self._logs, ("GET", "/api/v1/users"): self._users}

    def needs(self, call: Call) -> str | None:
        return _SCOPES.get(call.path)

    def unauthorized(self) -> Reply:
        return Reply(401, {"errorCode": "E0000011", "errorSummary": "Invalid token provided"})

    def forbidden(self, scope: str) -> Reply:
        return Reply(403, {"errorCode": "E0000006", "errorSummary": "You do not have permission"})

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == "SSWS api-token" or super().authorized(call)

    def client_known(self, call: Call) -> bool:
        form = call.form
        head, body, signature = form.get("client_assertion", "..").split(".")
        if not body:
            return False
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            KEY.public_key().verify(b64url_decode(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        claims = json.loads(b64url_decode(body))
        self.assertions.append(json.loads(b64url_decode(head)) | claims)
        return bool(claims["aud"] == f"{self.url}{self.token_path}" and claims["iss"] == self.client_id)

    # --- what lies there ---------------------------------------------------------------------------------------------

    def happens(self, kind: str, user: str = "u1", **fields: Any) -> dict[str, Any]:
        """A line of the log that is written now."""
        made: dict[str, Any] = {
            "uuid": f"uuid-{len(self.log)}", "published": _text(self.clock.now()), "eventType": kind, "version": "0",
            "severity": "INFO", "displayMessage": f"it was {kind}",
            "actor": {"id": "admin1", "type": "User", "alternateId": "admin@corp.example", "displayName": "Admin"},
            "outcome": {"result": "SUCCESS", "reason": None},
            "target": [{"id": user, "type": "User", "alternateId": f"{user}@corp.example", "detailEntry": None}],
            "debugContext": {"debugData": {"requestId": "x", "n": 1}}, "transaction": {"type": "WEB"},
        } | fields  # fmt: skip
        self.log.append(made)
        return made

    def user(self, id: str, status: str = "ACTIVE", **fields: Any) -> dict[str, Any]:
        """A user that is written now."""
        at = _text(self.clock.now())
        made: dict[str, Any] = {
            "id": id, "status": status, "created": at, "activated": at, "statusChanged": at, "lastUpdated": at,
            "profile": {"login": f"{id}@corp.example", "email": f"{id}@corp.example"},
        } | fields  # fmt: skip
        self.users[id] = made
        return made

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _logs(self, call: Call) -> Reply:
        assert "until" not in call.query
        after = call.query.get("after")
        if after is None:
            since = call.query.get("since", "")
            start = next((place for place, one in enumerate(self.log) if one["published"] >= since), len(self.log))
        elif self.forgotten:
            return Reply(400, {"errorCode": "E0000031", "errorSummary": "Invalid search criteria."})
        else:
            start = int(after)
        found = self.log[start : start + self.log_page]
        link = f"{self.url}/api/v1/logs?after={start + len(found)}&sortOrder=ASCENDING&limit={self.log_page}"
        return Reply(200, found, {"link": f'<{self.url}/api/v1/logs>; rel="self"', "Link": f'<{link}>; rel="next"'})

    async def _users(self, call: Call) -> Reply:
        search = call.query.get("search", "")
        found = sorted(self.users.values(), key=lambda one: str(one["id"]))
        if search.startswith("lastUpdated gt"):
            found = [one for one in found if one["lastUpdated"] > search.split('"')[1]]
        start, page = int(call.query.get("after") or 0), min(self.page, int(call.query.get("limit", "200")))
        headers = {}
        if start + page < len(found):
            from urllib.parse import urlencode

            query = urlencode({"after": start + page, "limit": page, "search": search})
            headers = {"link": f'<{self.url}/api/v1/users?{query}>; rel="next"'}
        return Reply(200, found[start : start + page], headers)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
