"""What is read of Intune. It notifies nobody; devices are asked for by when they last checked in, which they do some
three times a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from troth.connect import microsoft
from troth.connect.api import VendorApi, shaped
from troth.connect.connector import Pulled, Pushed, Read, Wiring, each
from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.connect.intune import mapping
from troth.connect.intune.mapping import Device
from troth.kit.canonical import Json
from troth.kit.lane import Request

_DEVICES: Final = "/v1.0/deviceManagement/managedDevices"
_SCOPE: Final = "DeviceManagementManagedDevices.Read.All"
_OVERLAP: Final = timedelta(minutes=15)


class Intune:
    """One tenant of Intune's."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._options: Any = wiring.options
        #: By which effects act (see ``connect/effects``).
        self.acting: VendorApi = wiring.api(microsoft.proof(wiring), wiring.pace(per_second=5, burst=5, of="intune"))
        definition = wiring.definition
        whole = definition.snapshot_hours * 3600
        self.reads: Sequence[Read] = (
            Read("devices", self.devices, self._probe, _SCOPE, definition.poll_seconds),
            *([Read("devices.whole", self.all_devices, self._probe, _SCOPE, whole, False)] if whole else []),
        )

    async def push(self, request: Request) -> Pushed:
        """Graph has no notifications of managed devices."""
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def devices(self, cursor: Json) -> Pulled:
        """Devices that have checked in. Cursor: ``since``, and within a sweep ``began`` and ``next``."""
        page, state = await microsoft.sweep(
            self.acting, self._wiring, cursor, _DEVICES, "lastSyncDateTime", top=500, scope=_SCOPE, overlap=_OVERLAP,
            select=mapping.FIELDS,
        )  # fmt: skip
        return self._told(page, state)

    async def all_devices(self, cursor: Json) -> Pulled:
        """Every device, from time to time: a state that changed without a check-in (a wipe was issued) stands here."""
        link = str(cursor.get("next") or "") if isinstance(cursor, dict) else ""
        query = None if link else {"$select": mapping.FIELDS, "$top": "500"}
        page = await microsoft.page(self.acting, link or _DEVICES, query, scope=_SCOPE)
        return self._told(page, {"next": page.following} if page.following else None)

    def _told(self, page: microsoft.GraphPage, state: Json) -> Pulled:
        devices, spoilt = each(
            page.items, lambda item: shaped(item, Device),
            name=lambda item: f"device:{item['id']}:{item.get('lastSyncDateTime', '')}",
        )  # fmt: skip
        told, odd = each(
            devices, lambda device: (mapping.signals(self._wiring, device), self._report(device)),
            name=lambda device: f"device:{device.id}:{device.synced}",
        )  # fmt: skip
        signals = [signal for made, _ in told for signal in made]
        reports = [report for _, report in told if report is not None]
        return Pulled(signals, reports, state, bool(page.following), [*spoilt, *odd])

    def _report(self, device: Device) -> Any:
        return mapping.report(device, trust_serial=self._options.trust_serial)

    async def _probe(self) -> None:
        await self.acting.get(_DEVICES, {"$top": "1", "$select": "id"}, scope=_SCOPE)
