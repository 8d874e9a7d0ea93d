"""What is read of Graph's security alerts, and the subscription by which Graph says that there is something new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from troth.connect import microsoft
from troth.connect.api import Pages, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import SECRET_INVALID, ConnectorError
from troth.connect.graphsecurity import mapping, notices
from troth.connect.graphsecurity.mapping import Alert
from troth.kit.canonical import Json
from troth.kit.lane import Request

_ALERTS: Final = "/v1.0/security/alerts_v2"
_SUBSCRIPTIONS: Final = "/v1.0/subscriptions"
_SCOPE: Final = "SecurityAlert.Read.All"
_OVERLAP: Final = timedelta(minutes=5)
#: Graph allows at most 43,200 minutes; a subscription that nobody renews is to end soon.
_LIFE: Final = timedelta(days=3)
_RENEW_SECONDS: Final = 6 * 3600


class _Subscription(msgspec.Struct, rename={"url": "notificationUrl"}):
    id: str
    resource: str = ""
    url: str | None = ""


class GraphSecurity:
    """The security alerts of one tenant."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        # 150 a minute for an application in a tenant.
        self._api = wiring.api(microsoft.proof(wiring), wiring.pace(per_second=2, burst=10, of="security"))
        reads = [Read("alerts", self.alerts, self._probe, _SCOPE, wiring.definition.poll_seconds)]
        if self._options.notify_url:
            reads.append(
                Read("subscription", self.subscription, self._probe_subscription, _SCOPE, _RENEW_SECONDS, False)
            )
        self.reads: Sequence[Read] = tuple(reads)

    async def push(self, request: Request) -> Pushed:
        """A notice, or a handshake."""
        return notices.read(self._wiring, request)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def alerts(self, cursor: Json) -> Pulled:
        """Alerts that are new or have changed. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        page, state = await microsoft.sweep(
            self._api, self._wiring, cursor, _ALERTS, "lastUpdateDateTime", top=200, scope=_SCOPE, overlap=_OVERLAP
        )
        found, spoilt = each(
            page.items,
            lambda item: mapping.signals(self._wiring, shaped(item, Alert)),
            name=lambda item: f"alert:{item['id']}:{item.get('lastUpdateDateTime', '')}",
        )
        return Pulled([one for some in found for one in some], (), state, bool(page.following), spoilt)

    async def subscription(self, cursor: Json) -> Pulled:
        """See to it that there is one subscription, and that it does not end. Cursor: which, and until when.

        It may be run again from anywhere: one that is there already, by whatever run, is found and renewed.
        """
        state = self._wiring.secret("client_state").decode("latin-1")
        if not 16 <= len(state) <= 128 or not state.isascii() or not state.isprintable():
            raise ConnectorError(SECRET_INVALID, "client_state: 16 to 128 plain characters")
        until = microsoft.time((self._wiring.clock.now() + _LIFE).isoformat())
        present = await self._present()
        if present is not None:
            answer = await self._api.answer(
                "PATCH", f"{_SUBSCRIPTIONS}/{present}", body={"expirationDateTime": until}, scope=_SCOPE,
                good=frozenset({200, 204, 404}),
            )  # fmt: skip
            if answer.status != 404:
                return Pulled(cursor={"id": present, "until": until})
        url = self._options.notify_url
        made = await self._api.post(
            _SUBSCRIPTIONS,
            {"changeType": "created,updated", "notificationUrl": url, "lifecycleNotificationUrl": url,
             "resource": self._options.resource, "expirationDateTime": until, "clientState": state},
            scope=_SCOPE,
        )  # fmt: skip
        return Pulled(cursor={"id": shaped(made, _Subscription).id, "until": until})

    async def _present(self) -> str | None:
        link, pages = _SUBSCRIPTIONS, Pages(most=20)
        while pages.turn(link):
            page = await microsoft.page(self._api, link, None, scope=_SCOPE)
            for item in page.items:
                one = shaped(item, _Subscription)
                if one.url == self._options.notify_url and one.resource.strip("/") == self._options.resource.strip("/"):
                    return str(one.id)
            link = page.following
            if not link:
                return None
        return None

    async def _probe(self) -> None:
        await self._api.get(_ALERTS, {"$top": "1"}, scope=_SCOPE)

    async def _probe_subscription(self) -> None:
        await self._api.get(_SUBSCRIPTIONS, scope=_SCOPE)
