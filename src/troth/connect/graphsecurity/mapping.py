"""Words of Graph's security alerts as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

ENTRA_DEVICE: Final = "entra.device"
ENTRA_USER: Final = "entra.user"
MACHINE: Final = "defender.machine"

SEVERITY: Final[Mapping[str, int]] = {"informational": 10, "low": 30, "medium": 50, "high": 80, "unknown": 50}
UNKNOWN_SEVERITY: Final = 50
#: What ends an alert: its status, or a classification by which it was none. All others leave it open.
RESOLVED: Final = "resolved"
NO_THREAT: Final = frozenset({"falsePositive", "informationalExpectedActivity"})
#: Subjects that one alert may name; one that names more is an incident for people.
MOST_SUBJECTS: Final = 50


class Account(msgspec.Struct, rename={"id": "azureAdUserId", "upn": "userPrincipalName"}):
    """Of evidence about a user."""

    id: str | None = ""
    upn: str | None = ""


class Evidence(
    msgspec.Struct,
    rename={"type": "@odata.type", "entra": "azureAdDeviceId", "mde": "mdeDeviceId", "dns": "deviceDnsName",
            "account": "userAccount"},
):  # fmt: skip
    """One piece of evidence, as far as it is looked at."""

    type: str = ""
    entra: str | None = ""
    mde: str | None = ""
    dns: str | None = ""
    account: Account | None = None


class Alert(
    msgspec.Struct,
    rename={"updated": "lastUpdateDateTime", "source": "serviceSource", "techniques": "mitreTechniques",
            "url": "alertWebUrl", "incident": "incidentId"},
):  # fmt: skip
    """An alert of ``/security/alerts_v2``, as far as it is looked at."""

    id: str
    updated: str
    title: str | None = ""
    category: str | None = ""
    severity: str | None = ""
    status: str | None = ""
    classification: str | None = ""
    determination: str | None = ""
    source: str | None = ""
    incident: str | None = ""
    url: str | None = ""
    techniques: Sequence[str] | None = ()
    evidence: Sequence[Any] | None = ()


def signals(wiring: Wiring, alert: Alert) -> list[Signal]:
    """One signal for each device and user that an alert names. Raises ValueError if it names none, or a crowd."""
    people = _whom(alert)
    if not people:
        raise ValueError("it names neither a device nor a user")
    if len(people) > MOST_SUBJECTS:
        raise ValueError(f"it names {len(people)} subjects")
    over = alert.status == RESOLVED or (alert.classification or "") in NO_THREAT
    severity = None if over else SEVERITY.get(alert.severity or "", UNKNOWN_SEVERITY)
    fields: dict[str, Json] = {
        "alert": alert.id[:300], "incident": (alert.incident or "")[:100], "source": (alert.source or "")[:100],
        "status": (alert.status or "")[:40], "classification": (alert.classification or "")[:60],
        "techniques": ", ".join(alert.techniques or ())[:300], "link": (alert.url or "")[:500],
    }  # fmt: skip
    found = []
    short = hashlib.sha256(alert.id.encode()).hexdigest()[:32]
    for system, value in sorted(people):
        device = system != ENTRA_USER and system != "upn"
        kind = {True: ("edr.alert", "edr.alert_closed"), False: ("idp.risk_event", "idp.risk_event_dismissed")}[device]
        one = hashlib.sha256(f"{system}:{value}".encode()).hexdigest()[:16]
        found.append(
            wiring.signal(
                kind[1] if over else kind[0],
                Whom(alias=(system, value)),
                message_id=f"alert:{short}:{one}:{alert.updated}"[:200],
                observed_at=moment(alert.updated),
                cause=f"alert:{short}",
                severity=severity,
                evidence=" · ".join(one for one in (alert.title, alert.category) if one),
                sequence=alert.id[:200],
                fields={name: value for name, value in fields.items() if value},
            )
        )
    return found


def _whom(alert: Alert) -> set[tuple[str, str]]:
    """The names of every device and user among the evidence; of a device that has two, the one of the directory."""
    found: set[tuple[str, str]] = set()
    for raw in alert.evidence or ():
        one = msgspec.convert(raw, Evidence, strict=False)
        if one.type.endswith("deviceEvidence"):
            if one.entra:
                found.add((ENTRA_DEVICE, one.entra))
            elif one.mde:
                found.add((MACHINE, one.mde))
        elif one.account is not None:
            if one.account.id:
                found.add((ENTRA_USER, one.account.id))
            elif one.account.upn:
                found.add(("upn", one.account.upn))
    return found
