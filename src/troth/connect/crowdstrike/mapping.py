"""Falcon's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

AID: Final = "crowdstrike.aid"

#: Status of an alert → the kind it is told as. An alert of a status that nobody knows is open.
ALERT_STATUS: Final[Mapping[str, str]] = {
    "new": "edr.alert",
    "in_progress": "edr.alert",
    "reopened": "edr.alert",
    "closed": "edr.alert_closed",
}
#: Severity by name, where no number stands beside it (the event stream of older tenants).
SEVERITY: Final[Mapping[str, int]] = {
    "informational": 10, "low": 30, "medium": 50, "high": 70, "critical": 90,
}  # fmt: skip
#: Of a severity that nobody knows: as bad as a medium one, never harmless.
UNKNOWN_SEVERITY: Final = 50
#: States of a host in which it is cut off, or is about to be, or is not let back yet.
CONTAINED: Final = ("contained", "containment_pending", "lift_containment_pending")
#: ``platform_name`` → ``device.platform``.
PLATFORM: Final[Mapping[str, str]] = {
    "Windows": "windows", "Mac": "macos", "Linux": "linux", "iOS": "ios", "Android": "android", "ChromeOS": "chromeos",
}  # fmt: skip
#: ``reduced_functionality_mode`` → whether the sensor only seems to run; blank: it does not say.
REDUCED: Final[Mapping[str, bool]] = {"yes": True, "no": False}
#: Types of the event stream that are told as alerts, and the kind of each.
STREAM_KINDS: Final[Mapping[str, str]] = {
    "EppDetectionSummaryEvent": "edr.alert",
    "IdpDetectionSummaryEvent": "idp.risk_event",
    "MobileDetectionSummaryEvent": "edr.alert",
}


class Device(msgspec.Struct):
    """Of an alert: the device it is about."""

    device_id: str = ""
    hostname: str = ""


class Alert(msgspec.Struct):
    """An alert of ``/alerts/combined/alerts/v1``, as far as it is looked at."""

    composite_id: str
    updated_timestamp: str
    created_timestamp: str = ""
    status: str = "unknown"
    severity: int | None = None
    severity_name: str = ""
    confidence: int | None = None
    product: str = ""
    tactic: str = ""
    technique: str = ""
    display_name: str = ""
    agent_id: str = ""
    device: Device | None = None
    source_account_upn: str = ""
    user_principal: str = ""
    falcon_host_link: str = ""


class Host(msgspec.Struct):
    """A host of ``/devices/entities/devices/v2``, as far as it is looked at."""

    device_id: str
    serial_number: str = ""
    hostname: str = ""
    platform_name: str = ""
    os_version: str = ""
    status: str = "unknown"
    last_seen: str = ""
    modified_timestamp: str = ""
    reduced_functionality_mode: str = ""


class Score(msgspec.Struct):
    """A line of ``/zero-trust-assessment/queries/assessments/v1``."""

    aid: str
    score: int


class Metadata(msgspec.Struct, rename={"event_type": "eventType", "created": "eventCreationTime"}):
    """What stands above each event of the stream. ``created``: milliseconds since 1970."""

    offset: int
    event_type: str
    created: int


class Detection(
    msgspec.Struct,
    rename={"composite_id": "CompositeId", "agent_id": "AgentId", "sensor_id": "SensorId",
            "severity_name": "SeverityName", "name": "Name", "tactic": "Tactic", "technique": "Technique",
            "upn": "SourceAccountUpn", "link": "FalconHostLink"},
):  # fmt: skip
    """The ``event`` of a detection in the stream."""

    composite_id: str = ""
    agent_id: str = ""
    sensor_id: str = ""
    severity_name: str = ""
    name: str = ""
    tactic: str = ""
    technique: str = ""
    upn: str = ""
    link: str = ""


class Event(msgspec.Struct):
    """One line of the stream."""

    metadata: Metadata
    event: Detection


def cause_of(composite_id: str) -> str:
    """The cause that an alert raises, the same by whatever way it is told: ids may be longer than causes are."""
    return "alert:" + hashlib.sha256(composite_id.encode()).hexdigest()[:32]


def alert_signal(wiring: Wiring, alert: Alert) -> Signal:
    """One alert as a signal. Raises ValueError for one that names nobody."""
    agent = alert.agent_id or (alert.device.device_id if alert.device else "")
    upn = alert.source_account_upn or alert.user_principal
    kind = ALERT_STATUS.get(alert.status, "edr.alert")
    if not agent:
        kind = "idp.risk_event_dismissed" if kind == "edr.alert_closed" else "idp.risk_event"
    fields: dict[str, Json] = {
        "composite_id": alert.composite_id[:400], "status": alert.status[:40], "product": alert.product[:40],
        "tactic": alert.tactic[:100], "technique": alert.technique[:100], "link": alert.falcon_host_link[:500],
    }  # fmt: skip
    return wiring.signal(
        kind,
        _whom(agent, upn),
        message_id=f"alert:{_short(alert.composite_id)}:{alert.updated_timestamp}",
        observed_at=moment(alert.updated_timestamp),
        cause=cause_of(alert.composite_id),
        severity=_severity(alert.severity, alert.severity_name),
        confidence=_percent(alert.confidence),
        evidence=" · ".join(one for one in (alert.display_name, alert.tactic, alert.technique) if one),
        sequence=alert.composite_id[:200],
        fields={name: value for name, value in fields.items() if value},
    )


def stream_signal(wiring: Wiring, event: Event, *, app_id: str, partition: str, created: datetime) -> Signal | None:
    """One event of the stream as a signal; None for types that say nothing about a subject."""
    kind = STREAM_KINDS.get(event.metadata.event_type)
    if kind is None:
        return None
    said, offset = event.event, event.metadata.offset
    return wiring.signal(
        kind,
        _whom(said.agent_id or said.sensor_id, said.upn),
        message_id=f"stream:{app_id}:{partition}:{offset}",
        observed_at=created,
        cause=cause_of(said.composite_id) if said.composite_id else f"stream:{partition}:{offset}",
        # The number has had two scales (1 to 5, 0 to 100); the name has one.
        severity=SEVERITY.get(said.severity_name.lower(), UNKNOWN_SEVERITY),
        evidence=" · ".join(one for one in (said.name, said.tactic, said.technique) if one),
        sequence=str(offset),
        fields={"composite_id": said.composite_id[:400], "link": said.link[:500]},
    )


def containment_signal(wiring: Wiring, agent: str, *, contained: bool, since: str, at: datetime) -> Signal:
    """A host was cut off, or let back. ``since``: when it was last looked, which makes the message's id."""
    kind = "edr.contained" if contained else "edr.containment_lifted"
    return wiring.signal(
        kind,
        _whom(agent, ""),
        message_id=f"{kind}:{agent}:{since}",
        observed_at=at,
        cause=f"containment:{agent}"[:128],
        confidence=100,
    )


def host_report(host: Host, *, trust_serial: bool) -> Reported | None:
    """What is known of a host; None without a serial number, since nothing then says which of ours it is."""
    if not host.serial_number:
        return None
    values: dict[str, Json] = {}
    if host.reduced_functionality_mode in REDUCED:
        values["posture.edr_running"] = not REDUCED[host.reduced_functionality_mode]
    if host.platform_name in PLATFORM:
        values["device.platform"] = PLATFORM[host.platform_name]
    if host.os_version:
        values["posture.os_version"] = host.os_version[:200]
    return Reported(
        Whom(device_serial=host.serial_number.strip()),
        moment(host.last_seen or host.modified_timestamp),
        values,
        ((AID, host.device_id),),
        trust_serial,
    )


def score_report(score: Score, at: datetime) -> Reported:
    """Hygiene, not compromise: a fact for policies, never a signal."""
    if not 0 <= score.score <= 100:
        raise ValueError(f"a score of {score.score}")
    return Reported(Whom(alias=(AID, score.aid)), at, {"posture.score": score.score})


def _whom(agent: str, upn: str) -> Whom:
    if agent:
        return Whom(alias=(AID, agent))
    if upn:
        return Whom(alias=("upn", upn))
    raise ValueError("it names neither a sensor nor an account")


def _severity(number: int | None, name: str) -> int:
    if number is not None and 0 <= number <= 100:
        return number
    return SEVERITY.get(name.lower(), UNKNOWN_SEVERITY)


def _percent(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= 100 else None


def _short(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()[:32]
