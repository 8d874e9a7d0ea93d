"""What is read of SentinelOne, page by page. It signs nothing that it sends, so nothing is taken that it pushes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from troth.connect.api import Pages, moment, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import ANSWER, PUSH_UNAUTHENTICATED, ConnectorError, PushRefused
from troth.connect.levels import level
from troth.connect.proof import Token
from troth.connect.sentinelone import mapping
from troth.connect.sentinelone.mapping import Agent, Threat
from troth.kit.canonical import Json
from troth.kit.lane import Request

_API: Final = "/web/api/v2.1"
_THREATS: Final = "Threats: view"
_AGENTS: Final = "Endpoints: view"
_PAGE: Final = 200
#: What is written becomes searchable a little later; what is read twice is taken once.
_OVERLAP: Final = timedelta(minutes=2)


class SentinelOne:
    """One console of SentinelOne's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        # 25 a second for threats and agents, by all clients together.
        self._api = wiring.api(Token(wiring.secret("api_token"), word="ApiToken"), wiring.pace(per_second=5, burst=5))
        definition = wiring.definition
        whole = definition.snapshot_hours * 3600
        offered = [
            Read("threats", self.threats, self._probe_threats, _THREATS, definition.poll_seconds),
            Read("isolation", self.isolation, self._probe_agents, _AGENTS, definition.poll_seconds),
            Read("agents", self.agents, self._probe_agents, _AGENTS, max(definition.poll_seconds, 300), False),
            *([Read("agents.whole", self.all_agents, self._probe_agents, _AGENTS, whole, False)] if whole else []),
        ]
        self.reads: Sequence[Read] = tuple(
            read for read in offered if read.name.removesuffix(".whole") in self._options.read
        )

    async def push(self, request: Request) -> Pushed:
        """SentinelOne pushes nothing that it signs."""
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def threats(self, cursor: Json) -> Pulled:
        """Threats that are new or have changed. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        since, began, token = self._sweep(cursor)
        items, following = await self._page(
            "threats", {"updatedAt__gte": since, "sortBy": "createdAt"}, token, _THREATS
        )
        signals, spoilt = each(
            items,
            lambda item: mapping.threat_signal(self._wiring, shaped(item, Threat)),
            name=lambda item: f"threat:{item['id']}:{item['threatInfo'].get('updatedAt', '')}",
        )
        return Pulled(signals, (), _following(since, began, following), bool(following), spoilt)

    async def isolation(self, cursor: Json) -> Pulled:
        """Who is cut off: a level, told when it changes. Cursor: who was, and when that was looked at."""
        now = self._wiring.clock.now()
        found = level(cursor, "cut_off", await self._cut_off(), now)
        signals = [
            mapping.isolation_signal(self._wiring, agent, cut_off=cut_off, since=found.since, at=now)
            for agent, cut_off in found.changed
        ]
        return Pulled(signals, (), found.cursor)

    async def _cut_off(self) -> list[str]:
        """Every agent that is off the network. A list that stops in the middle would read as agents let back."""
        found: list[str] = []
        pages, token = Pages(most=1_000), ""
        while pages.turn(token):
            query = {"networkStatuses": ",".join(mapping.CUT_OFF), "isDecommissioned": "false", "sortBy": "createdAt"}
            items, token = await self._page("agents", query, token, _AGENTS)
            found += [shaped(item, Agent).uuid for item in items]
            if not token:
                return found
        raise ConnectorError(ANSWER, "more agents off the network than can be read")

    async def agents(self, cursor: Json) -> Pulled:
        """Agents that have changed. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        since, began, token = self._sweep(cursor)
        pulled, following = await self._agents_page({"updatedAt__gte": since}, token)
        return Pulled((), pulled.reports, _following(since, began, following), bool(following), pulled.spoilt)

    async def all_agents(self, cursor: Json) -> Pulled:
        """Every agent, from time to time: what a sweep of changes may have missed."""
        token = str(cursor.get("next") or "") if isinstance(cursor, dict) else ""
        pulled, following = await self._agents_page({}, token)
        return Pulled((), pulled.reports, {"next": following} if following else None, bool(following), pulled.spoilt)

    async def _agents_page(self, wanted: dict[str, str], token: str) -> tuple[Pulled, str]:
        items, following = await self._page("agents", wanted | {"sortBy": "createdAt"}, token, _AGENTS)
        trusted = self._options.trust_serial
        reports, spoilt = each(
            items,
            lambda item: mapping.agent_report(shaped(item, Agent), trust_serial=trusted),
            name=lambda item: f"agent:{item['uuid']}:{item.get('updatedAt', '')}",
        )
        return Pulled((), reports, None, False, spoilt), following

    async def _page(self, what: str, query: dict[str, str], token: str, scope: str) -> tuple[list[Any], str]:
        """One page and the cursor of the next, empty at the end. Raises ConnectorError."""
        query = query | {"sortOrder": "asc", "limit": str(_PAGE)} | ({"cursor": token} if token else {})
        answer = await self._api.get(f"{_API}/{what}", query, scope=scope)
        items = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise ConnectorError(ANSWER, "data is no list")
        pagination = answer.get("pagination")
        following = pagination.get("nextCursor") if isinstance(pagination, dict) else None
        if following and following == token:
            raise ConnectorError(ANSWER, f"a page of {what} leads to itself")
        return items, str(following or "")

    def _sweep(self, cursor: Json) -> tuple[str, str, str]:
        known = cursor if isinstance(cursor, dict) else {}
        now = self._wiring.clock.now()
        back = timedelta(hours=self._options.lookback_hours)
        since = str(known.get("since") or _time((now - back).isoformat()))
        return since, str(known.get("began") or now.isoformat()), str(known.get("next") or "")

    async def _probe_threats(self) -> None:
        await self._api.get(f"{_API}/threats", {"limit": "1"}, scope=_THREATS)

    async def _probe_agents(self) -> None:
        await self._api.get(f"{_API}/agents", {"limit": "1"}, scope=_AGENTS)


def _following(since: str, began: str, token: str) -> dict[str, Json]:
    if token:
        return {"since": since, "began": began, "next": token}
    return {"since": _time(max(moment(since), moment(began) - _OVERLAP).isoformat())}


def _time(text: str) -> str:
    return moment(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
