"""What is read of Google Workspace.

Activities come newest first, and some of them late (Google says: minutes, seldom hours). So each look goes back a
little, and a rarer one further; what is read twice is taken once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from troth.connect.api import Pages, VendorApi, moment, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import ANSWER, SECRET_INVALID, ConnectorError
from troth.connect.google import channel, mapping
from troth.connect.google.mapping import Activity, User
from troth.connect.levels import level
from troth.connect.proof import ClientCredentials
from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.kit.lane import Request

_ACTIVITIES: Final = "/admin/reports/v1/activity/users/all/applications"
_USERS: Final = "/admin/directory/v1/users"
_REPORTS: Final = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
_DIRECTORY: Final = "https://www.googleapis.com/auth/admin.directory.user.readonly"
_OVERLAP: Final = timedelta(minutes=15)
_LATE: Final = timedelta(hours=12)
#: A channel lives for six hours at most and cannot be renewed; a new one is made before.
_CHANNEL_SECONDS: Final = 6 * 3600
_LOGIN_HOST: Final = "oauth2.googleapis.com"


class _Account(msgspec.Struct):
    client_email: str
    private_key: str
    private_key_id: str = ""


class Google:
    """One customer of Google Workspace's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        self._api: VendorApi = wiring.api(_proof(wiring), wiring.pace(per_second=4, burst=10))
        definition = wiring.definition
        whole, poll = definition.snapshot_hours * 3600, definition.poll_seconds
        users = (self._probe_users, _DIRECTORY)
        offered = [
            *self._activities("logins", "login", poll, whole),
            *self._activities("admin", "admin", poll, whole),
            Read("suspended", self.suspended, *users, max(poll, 300)),
            Read("users", self.users, *users, max(whole, 3600), False),
        ]
        reads = [read for read in offered if read.name.removesuffix(".late") in self._options.read]
        if self._options.notify_url:
            reads.append(Read("channel", self.channel, self._probe("login"), _REPORTS, _CHANNEL_SECONDS - 1800, False))
        self.reads: Sequence[Read] = tuple(reads)

    async def push(self, request: Request) -> Pushed:
        """A notification."""
        return channel.read(self._wiring, request)

    async def close(self) -> None:
        """Nothing is kept open."""

    # --- activities --------------------------------------------------------------------------------------------------

    def _activities(self, name: str, application: str, every: int, whole: int) -> list[Read]:
        def reading(back: timedelta) -> Callable[[Json], Awaitable[Pulled]]:
            async def pull(cursor: Json) -> Pulled:
                return await self._sweep(application, cursor, back)

            return pull

        probe = self._probe(application)
        reads = [Read(name, reading(_OVERLAP), probe, _REPORTS, every)]
        return [*reads, Read(f"{name}.late", reading(_LATE), probe, _REPORTS, whole, False)] if whole else reads

    async def _sweep(self, application: str, cursor: Json, back: timedelta) -> Pulled:
        """Activities from a moment to now. Cursor: ``since``, and within a sweep ``until`` and ``page``."""
        known = cursor if isinstance(cursor, dict) else {}
        now = self._wiring.clock.now()
        since = str(known.get("since") or _time(now - timedelta(hours=self._options.lookback_hours)))
        until, token = str(known.get("until") or _time(now)), str(known.get("page") or "")
        query = {"startTime": since, "endTime": until, "maxResults": "1000"} | ({"pageToken": token} if token else {})
        items, following = await self._page(f"{_ACTIVITIES}/{application}", query, token, "items", _REPORTS)
        found, spoilt = each(
            items,
            lambda item: mapping.activity_signals(self._wiring, application, shaped(mapping.texts(item), Activity)),
            name=lambda item: f"{application}:{item['id']['time']}:{item['id']['uniqueQualifier']}",
        )
        signals = [one for some in found for one in some]
        if following:
            return Pulled(signals, (), {"since": since, "until": until, "page": following}, True, spoilt)
        return Pulled(signals, (), {"since": _time(max(moment(since), moment(until) - back))}, False, spoilt)

    def _probe(self, application: str) -> Callable[[], Awaitable[object]]:
        async def probe() -> None:
            await self._api.get(f"{_ACTIVITIES}/{application}", {"maxResults": "1"}, scope=_REPORTS)

        return probe

    # --- users -------------------------------------------------------------------------------------------------------

    async def suspended(self, cursor: Json) -> Pulled:
        """Who is suspended: a level, told when it changes. Cursor: who was, and when that was looked at."""
        now = self._wiring.clock.now()
        present: dict[str, User] = {}
        pages, token = Pages(most=400), ""
        while pages.turn(token):
            query = {"query": "isSuspended=true"} | ({"pageToken": token} if token else {})
            items, token = await self._users_page(query, token)
            present |= {user.id: user for user in (shaped(item, User) for item in items)}
            if not token:
                break
        else:
            raise ConnectorError(ANSWER, "more suspended users than can be read")
        found = level(cursor, "suspended", present, now)
        signals = [
            mapping.suspension_signal(
                self._wiring, one, suspended=suspended, since=found.since, at=now,
                why=(present[one].reason or "") if suspended else "",
            )
            for one, suspended in found.changed
        ]  # fmt: skip
        reports = [mapping.user_report(present[one], now) for one, suspended in found.changed if suspended]
        return Pulled(signals, reports, found.cursor)

    async def users(self, cursor: Json) -> Pulled:
        """Every user, for the name by which Google knows it. Cursor: ``page``, within a round."""
        token = str(cursor.get("page") or "") if isinstance(cursor, dict) else ""
        items, following = await self._users_page({"pageToken": token} if token else {}, token)
        now = self._wiring.clock.now()
        reports, spoilt = each(
            items, lambda item: mapping.user_report(shaped(item, User), now),
            name=lambda item: f"user:{item['id']}:{now.isoformat()}",
        )  # fmt: skip
        return Pulled((), reports, {"page": following} if following else None, bool(following), spoilt)

    async def _users_page(self, query: dict[str, str], token: str) -> tuple[list[Any], str]:
        known = {"customer": "my_customer", "maxResults": "500", "orderBy": "email"} | query
        return await self._page(_USERS, known, token, "users", _DIRECTORY)

    async def _probe_users(self) -> None:
        await self._api.get(_USERS, {"customer": "my_customer", "maxResults": "1"}, scope=_DIRECTORY)

    # --- the channel -------------------------------------------------------------------------------------------------

    async def channel(self, _cursor: Json) -> Pulled:
        """A channel for each application; one that is made again by chance only tells the same twice."""
        token = self._wiring.secret("channel_token").decode("latin-1")
        if not 16 <= len(token) <= 128 or not token.isascii() or not token.isprintable():
            raise ConnectorError(SECRET_INVALID, "channel_token: 16 to 128 plain characters")
        made = []
        for name, application in (("logins", "login"), ("admin", "admin")):
            if name in self._options.read:
                body = {"id": str(new_id()), "type": "web_hook", "address": self._options.notify_url, "token": token,
                        "payload": False, "params": {"ttl": str(_CHANNEL_SECONDS)}}  # fmt: skip
                await self._api.post(f"{_ACTIVITIES}/{application}/watch", body, scope=_REPORTS)
                made.append(body["id"])
        return Pulled(cursor={"channels": made})

    async def _page(
        self, path: str, query: dict[str, str], token: str, field: str, scope: str
    ) -> tuple[list[Any], str]:
        """One page and the token of the next, empty at the end. Google leaves an empty list out."""
        answer = await self._api.get(path, query, scope=scope)
        if not isinstance(answer, dict) or not str(answer.get("kind", "")).startswith("admin#"):
            raise ConnectorError(ANSWER, "no answer of the Admin SDK's")
        items = answer.get(field, [])
        following = answer.get("nextPageToken") or ""
        if not isinstance(items, list) or not isinstance(following, str):
            raise ConnectorError(ANSWER, f"{field} is no list")
        if following and following == token:
            raise ConnectorError(ANSWER, f"a page of {field} leads to itself")
        return items, following


def _proof(wiring: Wiring) -> ClientCredentials:
    """The service account, acting for the administrator. Raises ConnectorError."""
    try:
        account = msgspec.json.decode(wiring.secret("service_account"), type=_Account)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConnectorError(SECRET_INVALID, "no JSON key of a service account") from error
    base = wiring.base_url.rstrip("/")
    # Not the key's own token_uri: where credentials are sent is not for a file to say.
    login = f"https://{_LOGIN_HOST}" if urlsplit(base).hostname == "admin.googleapis.com" else base
    return ClientCredentials.on_behalf(
        wiring.http, wiring.clock, url=f"{login}/token", issuer=account.client_email, subject=wiring.options.admin,
        key=account.private_key.encode(), key_id=account.private_key_id, scope=f"{_REPORTS} {_DIRECTORY}",
    )  # fmt: skip


def _time(at: Any) -> str:
    return str(at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
