"""SentinelOne's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

AGENT: Final = "sentinelone.agent"

#: ``confidenceLevel`` → severity and confidence. One that nobody knows is as bad as a suspicion.
CONFIDENCE: Final[Mapping[str, tuple[int, int]]] = {"malicious": (85, 90), "suspicious": (55, 60), "n/a": (50, 60)}
UNKNOWN_CONFIDENCE: Final = (55, 60)
#: What ends a threat: an incident in this state, a verdict, or a mitigation that calls it harmless. That the file was
#: killed or put away ends nothing: somebody has still to look.
RESOLVED: Final = "resolved"
FALSE_POSITIVE: Final = "false_positive"
BENIGN: Final = "marked_as_benign"
#: ``networkStatus`` of an agent that is cut off, or about to be, or not let back yet.
CUT_OFF: Final = ("disconnected", "disconnecting", "connecting")
#: ``osType`` → ``device.platform``.
PLATFORM: Final[Mapping[str, str]] = {"windows": "windows", "macos": "macos", "linux": "linux"}


class ThreatInfo(
    msgspec.Struct,
    rename={"threat_id": "threatId", "name": "threatName", "confidence": "confidenceLevel", "verdict": "analystVerdict",
            "incident": "incidentStatus", "mitigation": "mitigationStatus", "updated": "updatedAt"},
):  # fmt: skip
    """What a threat is and how it stands."""

    updated: str
    threat_id: str = ""
    name: str | None = ""
    classification: str | None = ""
    confidence: str | None = ""
    verdict: str | None = ""
    incident: str | None = ""
    mitigation: str | None = ""


class Where(msgspec.Struct, rename={"uuid": "agentUuid", "computer": "agentComputerName"}):
    """The agent that saw it."""

    uuid: str | None = ""
    computer: str | None = ""


class Threat(
    msgspec.Struct, rename={"info": "threatInfo", "detected": "agentDetectionInfo", "now": "agentRealtimeInfo"}
):
    """A threat of ``/threats``, as far as it is looked at."""

    id: str
    info: ThreatInfo
    detected: Where | None = None
    now: Where | None = None


class Agent(
    msgspec.Struct,
    rename={"serial": "serialNumber", "active": "isActive", "decommissioned": "isDecommissioned",
            "os_type": "osType", "os_name": "osName", "os_revision": "osRevision", "network": "networkStatus",
            "last_active": "lastActiveDate", "updated": "updatedAt", "encrypted": "encryptedApplications"},
):  # fmt: skip
    """An agent of ``/agents``, as far as it is looked at."""

    uuid: str
    updated: str
    serial: str | None = ""
    active: bool | None = None
    decommissioned: bool | None = None
    os_type: str | None = ""
    os_name: str | None = ""
    os_revision: str | None = ""
    network: str | None = ""
    last_active: str | None = ""
    encrypted: bool | None = None


def threat_signal(wiring: Wiring, threat: Threat) -> Signal:
    """One threat as it stands. Raises ValueError for one that names no agent."""
    info = threat.info
    agent = (threat.detected.uuid if threat.detected else "") or (threat.now.uuid if threat.now else "")
    if not agent:
        raise ValueError("it names no agent")
    over = info.incident == RESOLVED or info.verdict == FALSE_POSITIVE or info.mitigation == BENIGN
    severity, confidence = CONFIDENCE.get((info.confidence or "").lower(), UNKNOWN_CONFIDENCE)
    fields: dict[str, Json] = {
        "threat_id": threat.id[:200], "classification": (info.classification or "")[:100],
        "verdict": (info.verdict or "")[:40], "mitigation": (info.mitigation or "")[:40],
        "computer": ((threat.now.computer if threat.now else "") or "")[:200],
    }  # fmt: skip
    return wiring.signal(
        "edr.alert_closed" if over else "edr.alert",
        Whom(alias=(AGENT, agent)),
        message_id=f"threat:{threat.id}:{info.updated}",
        observed_at=moment(info.updated),
        cause=f"threat:{threat.id}"[:128],
        severity=None if over else severity,
        confidence=None if over else confidence,
        evidence=" · ".join(one for one in (info.name, info.classification) if one),
        sequence=threat.id[:200],
        fields={name: value for name, value in fields.items() if value},
    )


def isolation_signal(wiring: Wiring, agent: str, *, cut_off: bool, since: str, at: datetime) -> Signal:
    """An agent was cut off the network, or let back. ``since``: when was last looked, which makes the message's id."""
    kind = "edr.contained" if cut_off else "edr.containment_lifted"
    return wiring.signal(
        kind, Whom(alias=(AGENT, agent)), message_id=f"{kind}:{agent}:{since}", observed_at=at,
        cause=f"isolation:{agent}"[:128], confidence=100,
    )  # fmt: skip


def agent_report(agent: Agent, *, trust_serial: bool) -> Reported | None:
    """What is known of an agent's host; None without a serial number: nothing then says which of ours it is."""
    if not agent.serial:
        return None
    values: dict[str, Json] = {}
    if agent.decommissioned is not None and agent.active is not None:
        # A host that is switched off is not one whose sensor was taken off it: only a living agent says that it runs.
        if agent.decommissioned:
            values["posture.edr_running"] = False
        elif agent.active:
            values["posture.edr_running"] = True
    if (agent.os_type or "") in PLATFORM:
        values["device.platform"] = PLATFORM[agent.os_type or ""]
    system = " ".join(one for one in (agent.os_name, agent.os_revision) if one)
    if system:
        values["posture.os_version"] = system[:200]
    if agent.encrypted is not None:
        values["posture.disk_encrypted"] = agent.encrypted
    return Reported(
        Whom(device_serial=agent.serial.strip()), moment(agent.last_active or agent.updated), values,
        ((AGENT, agent.uuid),), trust_serial,
    )  # fmt: skip
