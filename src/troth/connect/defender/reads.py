"""What is read of Defender for Endpoint: 100 requests a minute and 1,500 an hour are all that it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from troth.connect import microsoft
from troth.connect.api import VendorApi, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.defender import mapping
from troth.connect.defender.mapping import Action, Alert, Machine
from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.kit.canonical import Json
from troth.kit.lane import Request

_ALERTS, _MACHINES, _ACTIONS = "/api/alerts", "/api/machines", "/api/machineactions"
_ALERT_SCOPE, _MACHINE_SCOPE = "Alert.Read.All", "Machine.Read.All"
_OVERLAP: Final = timedelta(minutes=5)
#: The name of the API to the token endpoint, whatever its address.
_RESOURCE: Final = "https://api.securitycenter.microsoft.com"


class Defender:
    """One tenant of Defender for Endpoint's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        public = urlsplit(wiring.base_url).hostname == "api.security.microsoft.com"
        proof = microsoft.proof(wiring, resource=_RESOURCE if public else "")
        #: By which effects act (see ``connect/effects``).
        self.acting: VendorApi = wiring.api(proof, wiring.pace(per_second=0.4, burst=20, of="defender"))
        poll = wiring.definition.poll_seconds
        offered = [
            Read("alerts", self.alerts, self._probe(_ALERTS, _ALERT_SCOPE), _ALERT_SCOPE, poll),
            Read("isolation", self.isolation, self._probe(_ACTIONS, _MACHINE_SCOPE), _MACHINE_SCOPE, poll),
            Read("machines", self.machines, self._probe(_MACHINES, _MACHINE_SCOPE), _MACHINE_SCOPE, max(poll, 120)),
        ]
        self.reads: Sequence[Read] = tuple(read for read in offered if read.name in self._options.read)

    async def push(self, request: Request) -> Pushed:
        """Defender pushes nothing here; Graph's notices are the connector's ``graph-security``."""
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def alerts(self, cursor: Json) -> Pulled:
        """Alerts that are new or have changed."""
        return await self._sweep(
            cursor, _ALERTS, "lastUpdateTime", _ALERT_SCOPE,
            lambda item: ([mapping.alert_signal(self._wiring, shaped(item, Alert))], []),
        )  # fmt: skip

    async def machines(self, cursor: Json) -> Pulled:
        """Machines that were seen, with their risk."""

        def read(item: Any) -> tuple[list[Any], list[Any]]:
            machine = shaped(item, Machine)
            signal, report = mapping.machine_signal(self._wiring, machine), mapping.machine_report(machine)
            return [signal] if signal else [], [report] if report else []

        return await self._sweep(cursor, _MACHINES, "lastSeen", _MACHINE_SCOPE, read)

    async def isolation(self, cursor: Json) -> Pulled:
        """Machines that were cut off and let back, by what was done to them."""

        def read(item: Any) -> tuple[list[Any], list[Any]]:
            signal = mapping.action_signal(self._wiring, shaped(item, Action))
            return [signal] if signal else [], []

        return await self._sweep(cursor, _ACTIONS, "lastUpdateDateTimeUtc", _MACHINE_SCOPE, read)

    async def _sweep(
        self, cursor: Json, path: str, field: str, scope: str, read: Callable[[Any], tuple[list[Any], list[Any]]]
    ) -> Pulled:
        """What has changed by ``field``. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        page, state = await microsoft.sweep(
            self.acting, self._wiring, cursor, path, field, top=1000, scope=scope, overlap=_OVERLAP
        )
        found, spoilt = each(page.items, read, name=lambda item: f"{path}:{item['id']}:{item.get(field, '')}")
        signals = [one for some, _ in found for one in some]
        reports = [one for _, some in found for one in some]
        return Pulled(signals, reports, state, bool(page.following), spoilt)

    def _probe(self, path: str, scope: str) -> Any:
        async def probe() -> None:
            await self.acting.get(path, {"$top": "1"}, scope=scope)

        return probe
