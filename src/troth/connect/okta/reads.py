"""What is read of Okta.

The log is read in its polling mode: no ``until``, ascending. Only there are events in the order in which they became
visible, and only there does each answer, an empty one too, link to the next. Event hooks come sooner and may be lost
or never sent; so a hook is welcome, and the log is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from troth.connect.api import VendorApi, json_of, moment, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import ANSWER, SECRET_MISSING, ConnectorError
from troth.connect.okta import hook, mapping
from troth.connect.okta.mapping import Event, User
from troth.connect.proof import ClientCredentials, Proof, Token
from troth.kit.canonical import Json
from troth.kit.http import Answer
from troth.kit.lane import Request

_LOG, _USERS = "/api/v1/logs", "/api/v1/users"
_SCOPES: Final = "okta.logs.read okta.users.read"
_MANAGE: Final = "okta.users.read okta.users.manage okta.sessions.manage"
_PAGE: Final = 1000
_USER_PAGE: Final = 200
_OVERLAP: Final = timedelta(minutes=5)
_NEXT: Final = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')


class Okta:
    """One organisation at Okta."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        self._acting: VendorApi | None = None
        # The log allows some 60 requests a minute, to all clients together; users some 600.
        self._log_api = wiring.api(_proof(wiring), wiring.pace(per_second=0.8, burst=10, of="logs"),
                                   pause_headers=("x-rate-limit-reset", "retry-after"))  # fmt: skip
        self._user_api = wiring.api(_proof(wiring), wiring.pace(per_second=4, burst=10, of="users"),
                                    pause_headers=("x-rate-limit-reset", "retry-after"))  # fmt: skip
        definition = wiring.definition
        whole = definition.snapshot_hours * 3600
        offered = [
            Read("log", self.log, self._probe_log, "okta.logs.read", definition.poll_seconds),
            Read("users", self.users, self._probe_users, "okta.users.read", max(definition.poll_seconds, 300), False),
            *([Read("users.whole", self.all_users, self._probe_users, "okta.users.read", whole, False)]
              if whole else []),
        ]  # fmt: skip
        self.reads: Sequence[Read] = tuple(
            read for read in offered if read.name.removesuffix(".whole") in self._options.read
        )

    @property
    def acting(self) -> VendorApi:
        """What effects act by: a token of its own, whose scopes reading does not need."""
        if self._acting is None:
            self._acting = self._wiring.api(
                _proof(self._wiring, scope=_MANAGE), self._wiring.pace(per_second=4, burst=10, of="users"),
                pause_headers=("x-rate-limit-reset", "retry-after"),
            )  # fmt: skip
        return self._acting

    async def push(self, request: Request) -> Pushed:
        """An event hook, or its verification."""
        return hook.read(self._wiring, request)

    async def close(self) -> None:
        """Nothing is kept open."""

    # --- the log -----------------------------------------------------------------------------------------------------

    async def log(self, cursor: Json) -> Pulled:
        """Lines that are new. Cursor: the link to the next page, and the time of the last line seen."""
        known = cursor if isinstance(cursor, dict) else {}
        link, last = str(known.get("next") or ""), str(known.get("last") or "")
        answer = await self._log_page(link, last)
        items = _list(answer)
        signals, spoilt = each(
            items,
            lambda item: mapping.event_signal(self._wiring, shaped(item, Event)),
            name=lambda item: f"log:{item['uuid']}",
        )
        following = _next(answer)
        if following is None:
            raise ConnectorError(ANSWER, "the log's answer has no link to the next page")
        if items and following == link:
            raise ConnectorError(ANSWER, "a page of the log leads to itself")
        times = [text for one in items if isinstance(one, dict) and isinstance(text := one.get("published"), str)]
        return Pulled(signals, (), {"next": following, "last": max([last, *times])}, len(items) >= _PAGE, spoilt)

    async def _log_page(self, link: str, last: str) -> Answer:
        """The page behind ``link``; one that Okta no longer knows is found again by the last line's time."""
        if link:
            answer = await self._log_api.answer("GET", link, scope="okta.logs.read", good=frozenset({200, 400, 410}))
            if answer.status == 200:
                return answer
        back = timedelta(hours=self._options.lookback_hours)
        since = moment(last) - _OVERLAP if last else self._wiring.clock.now() - back
        query = {"since": _time(since.isoformat()), "sortOrder": "ASCENDING", "limit": str(_PAGE)}
        return await self._log_api.answer("GET", _LOG, query, scope="okta.logs.read", good=frozenset({200}))

    async def _probe_log(self) -> None:
        await self._log_api.get(_LOG, {"limit": "1"}, scope="okta.logs.read")

    # --- users -------------------------------------------------------------------------------------------------------

    async def users(self, cursor: Json) -> Pulled:
        """Users that have changed. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        known = cursor if isinstance(cursor, dict) else {}
        now = self._wiring.clock.now()
        back = timedelta(hours=self._options.lookback_hours)
        since = str(known.get("since") or (now - back).isoformat())
        began = str(known.get("began") or now.isoformat())
        link = str(known.get("next") or "")
        pulled, following = await self._page(link, f'lastUpdated gt "{_time(since)}"', since)
        if following:
            state: dict[str, Json] = {"since": since, "began": began, "next": following}
        else:
            state = {"since": max(moment(since), moment(began) - _OVERLAP).isoformat()}
        return Pulled(pulled.signals, pulled.reports, state, bool(following), pulled.spoilt)

    async def all_users(self, cursor: Json) -> Pulled:
        """Every user, from time to time: who is disabled, whatever a sweep of changes has missed."""
        known = cursor if isinstance(cursor, dict) else {}
        began = str(known.get("began") or self._wiring.clock.now().isoformat())
        since = str(known.get("since") or began)
        pulled, following = await self._page(str(known.get("next") or ""), "", since)
        # The next round tells of those that were enabled since this one began.
        state: dict[str, Json] = {"began": began, "since": since, "next": following} if following else {"since": began}
        return Pulled(pulled.signals, pulled.reports, state, bool(following), pulled.spoilt)

    async def _page(self, link: str, wanted: str, since: str) -> tuple[Pulled, str]:
        # Without a search, deprovisioned users are left out of the list.
        wanted = wanted or 'id gt "0"'
        query = None if link else {"search": wanted, "limit": str(_USER_PAGE), "sortBy": "id"}
        answer = await self._user_api.answer("GET", link or _USERS, query, scope="okta.users.read",
                                             good=frozenset({200}))  # fmt: skip
        items = _list(answer)
        users, spoilt = each(items, lambda item: shaped(item, User), name=_user_name)
        reports = [one for user in users if (one := mapping.user_report(user)) is not None]
        signals, odd = each(
            users,
            lambda user: mapping.user_signal(self._wiring, user, since=since),
            name=lambda user: f"user:{user.id}:{user.last_updated}",
        )
        following = _next(answer) or ""
        if following and following == link:
            raise ConnectorError(ANSWER, "a page of users leads to itself")
        return Pulled(signals, reports, None, False, [*spoilt, *odd]), following if items else ""

    async def _probe_users(self) -> None:
        await self._user_api.get(_USERS, {"limit": "1"}, scope="okta.users.read")


def _proof(wiring: Wiring, scope: str = _SCOPES) -> Proof:
    """A service application's key, or a token that a person has put here."""
    if "private_key" in wiring.secrets:
        return ClientCredentials(
            wiring.http, wiring.clock, url=f"{wiring.base_url.rstrip('/')}/oauth2/v1/token",
            client_id=wiring.definition.client_id, key=wiring.secret("private_key"), key_id=wiring.options.key_id,
            scope=scope,
        )  # fmt: skip
    if "api_token" in wiring.secrets:
        return Token(wiring.secret("api_token"), word="SSWS")
    raise ConnectorError(SECRET_MISSING, "it needs a private_key or an api_token", kind="private_key")


def _list(answer: Answer) -> list[Any]:
    found = json_of(answer)
    if not isinstance(found, list):
        raise ConnectorError(ANSWER, "no JSON array")
    return found


def _next(answer: Answer) -> str | None:
    """Path and query of ``rel="next"``. The host is left out: it is asked for at the definition's address only."""
    found = _NEXT.search(answer.headers.get("link", ""))
    if found is None:
        return None
    parts = urlsplit(found.group(1))
    return f"{parts.path}?{parts.query}"


def _time(text: str) -> str:
    return moment(text).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _user_name(item: Any) -> str:
    return f"user:{item['id']}:{item.get('lastUpdated', '')}"
