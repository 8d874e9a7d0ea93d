"""Defender's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

MACHINE: Final = "defender.machine"
ENTRA_DEVICE: Final = "entra.device"

SEVERITY: Final[Mapping[str, int]] = {"Informational": 10, "Low": 30, "Medium": 50, "High": 80, "UnSpecified": 50}
UNKNOWN_SEVERITY: Final = 50
#: What ends an alert: its status, or a classification by which it was none.
RESOLVED: Final = "Resolved"
NO_THREAT: Final = frozenset({"FalsePositive", "InformationalExpectedActivity"})
#: ``riskScore`` of a machine → severity; 0: it is held to be clean. A score that nobody knows is a medium one.
RISK: Final[Mapping[str, int]] = {"None": 0, "Informational": 0, "Low": 30, "Medium": 50, "High": 85}
UNKNOWN_RISK: Final = 50
#: ``healthStatus`` → whether the sensor runs. A machine that is off (``Inactive``) says neither.
SENSOR: Final[Mapping[str, bool]] = {
    "Active": True, "NoSensorData": False, "NoSensorDataImpairedCommunication": False, "ImpairedCommunication": False,
}  # fmt: skip
#: ``osPlatform`` begins so → ``device.platform``.
PLATFORM: Final[tuple[tuple[str, str], ...]] = (
    ("Windows", "windows"), ("macOS", "macos"), ("Linux", "linux"), ("Ubuntu", "linux"), ("RedHat", "linux"),
    ("Debian", "linux"), ("CentOS", "linux"), ("SuseLinux", "linux"), ("iOS", "ios"), ("Android", "android"),
)  # fmt: skip
#: States of an action that has been, or is to be, done. A failed, timed-out or cancelled one changed nothing.
UNDER_WAY: Final = frozenset({"Pending", "InProgress"})
DONE: Final = "Succeeded"


class Alert(
    msgspec.Struct,
    rename={"updated": "lastUpdateTime", "machine": "machineId", "computer": "computerDnsName",
            "techniques": "mitreTechniques", "incident": "incidentId"},
):  # fmt: skip
    """An alert of ``/api/alerts``, as far as it is looked at."""

    id: str
    updated: str
    machine: str | None = ""
    computer: str | None = ""
    title: str | None = ""
    category: str | None = ""
    severity: str | None = ""
    status: str | None = ""
    classification: str | None = ""
    incident: int | str | None = None


class Machine(
    msgspec.Struct,
    rename={"entra": "aadDeviceId", "computer": "computerDnsName", "platform": "osPlatform", "health": "healthStatus",
            "risk": "riskScore", "seen": "lastSeen"},
):  # fmt: skip
    """A machine of ``/api/machines``, as far as it is looked at."""

    id: str
    seen: str
    entra: str | None = ""
    computer: str | None = ""
    platform: str | None = ""
    version: str | None = ""
    health: str | None = ""
    risk: str | None = ""


class Action(
    msgspec.Struct,
    rename={"machine": "machineId", "updated": "lastUpdateDateTimeUtc", "requestor": "requestor"},
):
    """A line of ``/api/machineactions``."""

    id: str
    type: str
    status: str
    machine: str
    updated: str
    requestor: str | None = ""


def alert_signal(wiring: Wiring, alert: Alert) -> Signal:
    """One alert as it stands. Raises ValueError for one that names no machine."""
    if not alert.machine:
        raise ValueError("it names no machine")
    over = alert.status == RESOLVED or (alert.classification or "") in NO_THREAT
    fields: dict[str, Json] = {
        "alert": alert.id[:200], "incident": str(alert.incident or "")[:100], "status": (alert.status or "")[:40],
        "classification": (alert.classification or "")[:60], "computer": (alert.computer or "")[:200],
    }  # fmt: skip
    return wiring.signal(
        "edr.alert_closed" if over else "edr.alert",
        Whom(alias=(MACHINE, alert.machine)),
        message_id=f"alert:{alert.id}:{alert.updated}"[:200],
        observed_at=moment(alert.updated),
        cause=f"alert:{alert.id}"[:128],
        severity=None if over else SEVERITY.get(alert.severity or "", UNKNOWN_SEVERITY),
        evidence=" · ".join(one for one in (alert.title, alert.category) if one),
        sequence=alert.id[:200],
        fields={name: value for name, value in fields.items() if value},
    )


def machine_signal(wiring: Wiring, machine: Machine) -> Signal | None:
    """How risky Defender holds a machine to be, as a level; None where it does not say."""
    if not machine.risk:
        return None
    severity = RISK.get(machine.risk, UNKNOWN_RISK)
    return wiring.signal(
        "edr.suspicious" if severity else "edr.cleared",
        Whom(alias=(MACHINE, machine.id)),
        message_id=f"risk:{machine.id}:{machine.risk}:{machine.seen}"[:200],
        observed_at=moment(machine.seen),
        severity=severity or None,
        evidence=f"riskScore {machine.risk}",
        fields={"computer": (machine.computer or "")[:200]} if machine.computer else {},
    )


def machine_report(machine: Machine) -> Reported | None:
    """What is known of a machine; it is found by its ``deviceId`` in Entra ID. None for one that is not joined."""
    if not (machine.entra or "").strip("0-"):
        return None
    values: dict[str, Json] = {}
    if (machine.health or "") in SENSOR:
        values["posture.edr_running"] = SENSOR[machine.health or ""]
    platform = next((ours for theirs, ours in PLATFORM if (machine.platform or "").startswith(theirs)), None)
    if platform is not None:
        values["device.platform"] = platform
    return Reported(
        Whom(alias=(ENTRA_DEVICE, machine.entra or "")), moment(machine.seen), values, ((MACHINE, machine.id),)
    )


def action_signal(wiring: Wiring, action: Action) -> Signal | None:
    """A machine was cut off (or is about to be), or let back; None for other actions, and for those in vain."""
    at: datetime = moment(action.updated)
    if action.type == "Isolate" and (action.status in UNDER_WAY or action.status == DONE):
        kind = "edr.contained"
    elif action.type == "Unisolate" and action.status == DONE:
        kind = "edr.containment_lifted"
    else:
        return None
    return wiring.signal(
        kind, Whom(alias=(MACHINE, action.machine)), message_id=f"{kind}:{action.id}:{action.status}"[:200],
        observed_at=at, cause=f"isolation:{action.machine}"[:128], confidence=100,
        evidence=f"{action.type} {action.status}", fields={"requestor": (action.requestor or "")[:200]},
    )  # fmt: skip
