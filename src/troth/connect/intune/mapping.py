"""Intune's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

_BARE: Final = re.compile(r"[0-9a-f]{12}\Z")
#: Intune's own id of a device; ``deviceId`` in Entra ID.
MANAGED: Final = "intune.device"
ENTRA_DEVICE: Final = "entra.device"

#: ``complianceState`` → whether the device complies. All others (unknown, conflict, error, inGracePeriod,
#: configManager, whatever is new) say neither: in its grace period a device is not compromised, and nobody vouches.
COMPLIANT: Final[Mapping[str, bool]] = {"compliant": True, "noncompliant": False}
#: ``partnerReportedThreatState`` → severity of the threat; 0: there is none. All others say neither.
THREAT: Final[Mapping[str, int]] = {
    "secured": 0, "lowSeverity": 30, "mediumSeverity": 60, "highSeverity": 85, "compromised": 95,
}  # fmt: skip
#: ``managementState`` → what has become of the device. All others (a wipe that failed, one discovered) say nothing.
LIFECYCLE: Final[Mapping[str, str]] = {
    "wipePending": "mdm.wiped", "wipeIssued": "mdm.wiped", "retirePending": "mdm.retired",
    "retireIssued": "mdm.retired", "deletePending": "mdm.retired", "managed": "mdm.reenrolled",
    "wipeCanceled": "mdm.reenrolled", "retireCanceled": "mdm.reenrolled",
}  # fmt: skip
#: ``jailBroken`` is a text.
JAILBROKEN: Final[Mapping[str, bool]] = {"true": True, "false": False}
#: ``operatingSystem`` → ``device.platform``.
PLATFORM: Final[Mapping[str, str]] = {
    "windows": "windows", "macos": "macos", "linux": "linux", "ios": "ios", "ipados": "ios", "android": "android",
    "androidenterprise": "android", "androidforwork": "android", "chromeos": "chromeos",
}  # fmt: skip


class Device(
    msgspec.Struct,
    rename={"entra_id": "azureADDeviceId", "serial": "serialNumber", "compliance": "complianceState",
            "synced": "lastSyncDateTime", "jailbroken": "jailBroken", "threat": "partnerReportedThreatState",
            "state": "managementState", "system": "operatingSystem", "version": "osVersion",
            "encrypted": "isEncrypted", "name": "deviceName", "wifi_mac": "wiFiMacAddress",
            "wired_mac": "ethernetMacAddress", "upn": "userPrincipalName"},
):  # fmt: skip
    """A ``managedDevice``, as far as it is looked at."""

    id: str
    synced: str
    entra_id: str | None = ""
    serial: str | None = ""
    compliance: str = "unknown"
    jailbroken: str | None = ""
    threat: str | None = ""
    state: str | None = ""
    system: str | None = ""
    version: str | None = ""
    encrypted: bool | None = None
    name: str | None = ""
    wifi_mac: str | None = ""
    wired_mac: str | None = ""
    upn: str | None = ""


FIELDS: Final = (
    "id,azureADDeviceId,serialNumber,complianceState,lastSyncDateTime,jailBroken,partnerReportedThreatState,"
    "managementState,operatingSystem,osVersion,isEncrypted,deviceName,wiFiMacAddress,ethernetMacAddress,"
    "userPrincipalName"
)


def signals(wiring: Wiring, device: Device) -> list[Signal]:
    """What a device's row says, each word for itself."""
    whom, at = Whom(alias=(MANAGED, device.id)), moment(device.synced)
    evidence: dict[str, Json] = {
        "name": (device.name or "")[:200], "serial": (device.serial or "")[:100], "upn": (device.upn or "")[:200],
        "wifi_mac": (device.wifi_mac or "")[:40],
    }  # fmt: skip
    shown = {name: value for name, value in evidence.items() if value}
    found = []

    def tell(kind: str, said: str, severity: int | None = None) -> None:
        found.append(
            wiring.signal(kind, whom, message_id=f"{kind}:{device.id}:{device.synced}"[:200], observed_at=at,
                          severity=severity, evidence=said, fields=shown)
        )  # fmt: skip

    complies = COMPLIANT.get(device.compliance)
    if complies is not None:
        tell("mdm.compliant" if complies else "mdm.noncompliant", f"complianceState {device.compliance}")
    threat = THREAT.get(device.threat or "")
    if threat is not None:
        said = f"partnerReportedThreatState {device.threat}"
        tell("mdm.threat_detected" if threat else "mdm.threat_cleared", said, threat or None)
    became = LIFECYCLE.get(device.state or "")
    if became is not None:
        tell(became, f"managementState {device.state}")
    return found


def report(device: Device, *, trust_serial: bool) -> Reported | None:
    """What is known of a device; None without a serial number, since nothing then says which of ours it is."""
    if not device.serial:
        return None
    values: dict[str, Json] = {"device.managed": LIFECYCLE.get(device.state or "") == "mdm.reenrolled"}
    if device.compliance in COMPLIANT:
        values["posture.compliant"] = COMPLIANT[device.compliance]
    if (device.jailbroken or "").lower() in JAILBROKEN:
        values["posture.jailbroken"] = JAILBROKEN[(device.jailbroken or "").lower()]
    if device.encrypted is not None:
        values["posture.disk_encrypted"] = device.encrypted
    platform = (device.system or "").replace(" ", "").lower()
    if platform in PLATFORM:
        values["device.platform"] = PLATFORM[platform]
    if device.version:
        values["posture.os_version"] = device.version[:200]
    values["device.checked_at"] = device.synced
    entra = device.entra_id or ""
    known = [(MANAGED, device.id), *([(ENTRA_DEVICE, entra)] if entra.strip("0-") else [])]
    known += [("mac", one) for one in dict.fromkeys(map(_address, (device.wifi_mac, device.wired_mac))) if one]
    return Reported(
        Whom(device_serial=device.serial.strip()), moment(device.synced), values, tuple(known), trust_serial
    )


def _address(told: str | None) -> str:
    """A network address as Troth writes it; empty for none, for zeros (there is no such adapter) and for a group's."""
    bare = re.sub("[-:. ]", "", told or "").lower()
    if not _BARE.match(bare) or not bare.strip("0") or int(bare[:2], 16) & 1:
        return ""
    return "-".join(bare[at : at + 2] for at in range(0, 12, 2))
