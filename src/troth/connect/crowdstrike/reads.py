"""What is read of Falcon, page by page.

Pages are taken of data that changes meanwhile. So alerts are sorted by a field that never changes
(``created_timestamp``) and filtered by one that only grows (``updated_timestamp``): what changes during a sweep stays
in it or is in the next, which begins a little before the last one began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from troth.connect.api import Pages, VendorApi, moment, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.crowdstrike import mapping
from troth.connect.crowdstrike.mapping import Alert, Host, Score
from troth.connect.crowdstrike.stream import EventStream
from troth.connect.errors import ANSWER, PUSH_UNAUTHENTICATED, ConnectorError, PushRefused
from troth.connect.levels import level
from troth.connect.proof import ClientCredentials
from troth.kit.canonical import Json
from troth.kit.lane import Request

_PAUSE_HEADERS: Final = ("x-ratelimit-retryafter", "retry-after")
#: Alerts become searchable some seconds after they are written; what is read twice is taken once.
_OVERLAP: Final = timedelta(minutes=2)
_ALERTS, _HOSTS, _SCORES = 500, 500, 1000


class Falcon:
    """One tenant of Falcon's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        proof = ClientCredentials(
            wiring.http, wiring.clock, url=f"{wiring.base_url.rstrip('/')}/oauth2/token",
            client_id=wiring.definition.client_id, secret=wiring.secret("client_secret"),
        )  # fmt: skip
        # 6,000 a minute for a customer, by all of its clients together; the rest is for the others.
        pace = wiring.pace(per_second=20, burst=20)
        self._api = wiring.api(proof, pace, pause_headers=_PAUSE_HEADERS)
        self._stream = EventStream(wiring, self._api, self._options.app_id)
        definition = wiring.definition
        whole = definition.snapshot_hours * 3600
        offered = [
            Read("alerts", self.alerts, self._probe_alerts, "Alerts: read", definition.poll_seconds),
            Read("containment", self.containment, self._probe_hosts, "Hosts: read", definition.poll_seconds),
            Read("hosts", self.hosts, self._probe_hosts, "Hosts: read", max(definition.poll_seconds, 300), False),
            *([Read("hosts.whole", self.all_hosts, self._probe_hosts, "Hosts: read", whole, False)] if whole else []),
            Read("scores", self.scores, self._probe_scores, "Zero Trust Assessment: read",
                 self._options.score_seconds, False),
            Read("stream", self._stream.pull, self._stream.probe, "Event streams: read", 0),
        ]  # fmt: skip
        self.reads: Sequence[Read] = tuple(
            read for read in offered if read.name.removesuffix(".whole") in self._options.read
        )

    @property
    def acting(self) -> VendorApi:
        """What effects act by."""
        return self._api

    async def push(self, request: Request) -> Pushed:
        """Falcon pushes nothing that it signs."""
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        """Let go of the event stream."""
        await self._stream.close()

    # --- alerts ------------------------------------------------------------------------------------------------------

    async def alerts(self, cursor: Json) -> Pulled:
        """Alerts that are new or have changed. Cursor: ``since``, and within a sweep ``began`` and ``after``."""
        now = self._wiring.clock.now()
        at = _texts(cursor)
        since = at.get("since") or (now - timedelta(hours=self._options.lookback_hours)).isoformat()
        began = at.get("began") or now.isoformat()
        body: dict[str, Any] = {
            "filter": f"updated_timestamp:>='{_fql(moment(since))}'",
            "sort": "created_timestamp|asc",
            "limit": _ALERTS,
        }
        if at.get("after"):
            body["after"] = at["after"]
        answer = await self._api.post("/alerts/combined/alerts/v1", body, scope="Alerts: read")
        items = _resources(answer)
        signals, spoilt = each(
            items,
            lambda item: mapping.alert_signal(self._wiring, shaped(item, Alert)),
            name=lambda item: f"alert:{item['composite_id']}:{item.get('updated_timestamp', '')}",
        )
        after = _after(answer)
        if after and after == at.get("after"):
            raise ConnectorError(ANSWER, "a page of alerts leads to itself")
        if after and items:
            return Pulled(signals, (), {"since": since, "began": began, "after": after}, True, spoilt)
        following = max(moment(since), moment(began) - _OVERLAP)
        return Pulled(signals, (), {"since": following.isoformat()}, False, spoilt)

    async def _probe_alerts(self) -> None:
        await self._api.post("/alerts/combined/alerts/v1", {"limit": 1}, scope="Alerts: read")

    # --- containment -------------------------------------------------------------------------------------------------

    async def containment(self, cursor: Json) -> Pulled:
        """Who is cut off: a level, told when it changes. Cursor: who was, and when that was looked at."""
        now = self._wiring.clock.now()
        wanted = ",".join(f"'{status}'" for status in mapping.CONTAINED)
        found = level(cursor, "contained", await self._host_ids(f"status:[{wanted}]"), now)
        signals = [
            mapping.containment_signal(self._wiring, agent, contained=contained, since=found.since, at=now)
            for agent, contained in found.changed
        ]
        return Pulled(signals, (), found.cursor)

    async def _host_ids(self, wanted: str) -> list[str]:
        """Every host that ``wanted`` (FQL) fits. A list that stops in the middle would read as hosts let back."""
        found: list[str] = []
        pages, token = Pages(most=1_000), ""
        while pages.turn(token):
            answer = await self._api.get(
                "/devices/queries/devices-scroll/v1",
                {"filter": wanted, "limit": "5000", **({"offset": token} if token else {})}, scope="Hosts: read",
            )  # fmt: skip
            ids = [str(one) for one in _resources(answer)]
            found += ids
            token = _offset(answer)
            if not token or not ids:
                return found
        raise ConnectorError(ANSWER, "more contained hosts than can be read")

    # --- hosts -------------------------------------------------------------------------------------------------------

    async def hosts(self, cursor: Json) -> Pulled:
        """Hosts that have changed. Cursor: ``since``, and within a sweep ``began`` and ``offset``."""
        at = _texts(cursor)
        now = self._wiring.clock.now()
        since = at.get("since") or (now - timedelta(hours=self._options.lookback_hours)).isoformat()
        began = at.get("began") or now.isoformat()
        pulled, token = await self._hosts_page(f"modified_timestamp:>='{_fql(moment(since))}'", at.get("offset", ""))
        if token:
            cursor = {"since": since, "began": began, "offset": token}
        else:
            cursor = {"since": max(moment(since), moment(began) - _OVERLAP).isoformat()}
        return Pulled((), pulled.reports, cursor, bool(token), pulled.spoilt)

    async def all_hosts(self, cursor: Json) -> Pulled:
        """Every host, from time to time: what a sweep of changes may have missed."""
        pulled, token = await self._hosts_page("", _texts(cursor).get("offset", ""))
        return Pulled((), pulled.reports, {"offset": token} if token else None, bool(token), pulled.spoilt)

    async def _hosts_page(self, wanted: str, token: str) -> tuple[Pulled, str]:
        query = {"limit": str(_HOSTS), "sort": "device_id.asc"} | ({"filter": wanted} if wanted else {})
        answer = await self._api.get(
            "/devices/queries/devices-scroll/v1", query | ({"offset": token} if token else {}), scope="Hosts: read"
        )
        ids = [str(one) for one in _resources(answer)]
        following = _offset(answer)
        if following and following == token:
            raise ConnectorError(ANSWER, "a page of hosts leads to itself")
        if not ids:
            return Pulled(), ""
        details = _resources(await self._api.post("/devices/entities/devices/v2", {"ids": ids}, scope="Hosts: read"))
        trusted = self._options.trust_serial
        reports, spoilt = each(
            details,
            lambda item: mapping.host_report(shaped(item, Host), trust_serial=trusted),
            name=lambda item: f"host:{item['device_id']}:{item.get('modified_timestamp', '')}",
        )
        return Pulled((), reports, None, False, spoilt), following

    async def _probe_hosts(self) -> None:
        await self._api.get("/devices/queries/devices-scroll/v1", {"limit": "1"}, scope="Hosts: read")

    # --- assessments -------------------------------------------------------------------------------------------------

    async def scores(self, cursor: Json) -> Pulled:
        """The score of every host. Cursor: ``after``, within a sweep."""
        after, now = _texts(cursor).get("after", ""), self._wiring.clock.now()
        query = {"filter": "score:>=0", "sort": "score|asc", "limit": str(_SCORES)}
        answer = await self._api.get(
            "/zero-trust-assessment/queries/assessments/v1", query | ({"after": after} if after else {}),
            scope="Zero Trust Assessment: read",
        )  # fmt: skip
        items = _resources(answer)
        reports, spoilt = each(
            items,
            lambda item: mapping.score_report(shaped(item, Score), now),
            name=lambda item: f"score:{item['aid']}:{now.isoformat()}",
        )
        following = _after(answer)
        if following and following == after:
            raise ConnectorError(ANSWER, "a page of scores leads to itself")
        more = bool(following and items)
        return Pulled((), reports, {"after": following} if more else None, more, spoilt)

    async def _probe_scores(self) -> None:
        await self._api.get(
            "/zero-trust-assessment/queries/assessments/v1", {"filter": "score:>=0", "limit": "1"},
            scope="Zero Trust Assessment: read",
        )  # fmt: skip


def _fql(at: datetime) -> str:
    """A time as FQL takes it: UTC, with a Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _texts(cursor: Json) -> dict[str, str]:
    return {name: str(value) for name, value in cursor.items()} if isinstance(cursor, dict) else {}


def _resources(answer: Any) -> list[Any]:
    """The answer's ``resources``. Raises ConnectorError for an answer that has none, whatever its status said."""
    if not isinstance(answer, dict):
        raise ConnectorError(ANSWER, "no JSON object")
    found = answer.get("resources")
    if found is None and answer.get("errors"):
        raise ConnectorError(ANSWER, f"it answers with errors: {str(answer['errors'])[:200]}")
    if found is not None and not isinstance(found, list):
        raise ConnectorError(ANSWER, "resources is no list")
    return found or []


def _pagination(answer: Any) -> dict[str, Any]:
    meta = answer.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    return pagination if isinstance(pagination, dict) else {}


def _after(answer: Any) -> str:
    return str(_pagination(answer).get("after") or "")


def _offset(answer: Any) -> str:
    """Of a scroll: an opaque token, empty at the end."""
    found = _pagination(answer).get("offset")
    return found if isinstance(found, str) else ""
