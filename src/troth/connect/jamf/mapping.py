"""Jamf's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

UDID: Final = "jamf.udid"
#: Jamf's number of a computer.
COMPUTER: Final = "jamf.computer"

#: ``partitionFileVault2State`` → whether the boot volume is encrypted. A state on the way to it is not there yet.
ENCRYPTED: Final[Mapping[str, bool]] = {
    "ENCRYPTED": True, "VALID": True, "ENCRYPTING": False, "UNENCRYPTED": False, "DECRYPTING": False,
    "NOT_ENCRYPTED": False, "DECRYPTED": False, "ELIGIBLE": False, "INELIGIBLE": False,
}  # fmt: skip
#: ``secureBootLevel`` → whether only signed systems start.
SECURE_BOOT: Final[Mapping[str, bool]] = {"FULL_SECURITY": True, "MEDIUM_SECURITY": True, "NO_SECURITY": False}
#: ``webhookEvent`` → the reads that look at once. Others say nothing that is read here.
HOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    "ComputerAdded": ("computers", "compliance"),
    "ComputerInventoryCompleted": ("computers", "compliance"),
    "ComputerPushCapabilityChanged": ("computers",),
    "SmartGroupComputerMembershipChange": ("compliance",),
}


class Management(msgspec.Struct):
    """Whether Jamf manages it."""

    managed: bool | None = None


class General(msgspec.Struct, rename={"reported": "reportDate", "management": "remoteManagement"}):
    """Of a computer."""

    name: str | None = ""
    reported: str | None = ""
    management: Management | None = None


class Hardware(msgspec.Struct, rename={"serial": "serialNumber"}):
    """Of a computer."""

    serial: str | None = ""


class System(msgspec.Struct):
    """Of a computer."""

    version: str | None = ""


class Security(msgspec.Struct, rename={"firewall": "firewallEnabled", "secure_boot": "secureBootLevel"}):
    """Of a computer."""

    firewall: bool | None = None
    secure_boot: str | None = ""


class BootVolume(msgspec.Struct, rename={"state": "partitionFileVault2State"}):
    """Of a computer's disk encryption."""

    state: str | None = ""


class Encryption(msgspec.Struct, rename={"boot": "bootPartitionEncryptionDetails"}):
    """Of a computer."""

    boot: BootVolume | None = None


class Computer(msgspec.Struct, rename={"system": "operatingSystem", "encryption": "diskEncryption"}):
    """A computer of ``/api/v1/computers-inventory``, as far as it is looked at."""

    id: str
    udid: str
    general: General
    hardware: Hardware = msgspec.field(default_factory=Hardware)
    system: System | None = None
    security: Security | None = None
    encryption: Encryption | None = None


def computer_report(computer: Computer, *, trust_serial: bool) -> Reported | None:
    """What is known of a computer; None without a serial number, since nothing then says which of ours it is."""
    if not computer.hardware.serial or not computer.general.reported:
        return None
    values: dict[str, Json] = {"device.platform": "macos"}
    if computer.general.management is not None and computer.general.management.managed is not None:
        values["device.managed"] = computer.general.management.managed
    if computer.system is not None and computer.system.version:
        values["posture.os_version"] = computer.system.version[:200]
    if computer.security is not None:
        if computer.security.firewall is not None:
            values["posture.firewall"] = computer.security.firewall
        if (computer.security.secure_boot or "") in SECURE_BOOT:
            values["posture.secure_boot"] = SECURE_BOOT[computer.security.secure_boot or ""]
    boot = computer.encryption.boot if computer.encryption is not None else None
    if boot is not None and (boot.state or "") in ENCRYPTED:
        values["posture.disk_encrypted"] = ENCRYPTED[boot.state or ""]
    return Reported(
        Whom(device_serial=computer.hardware.serial.strip()), moment(computer.general.reported), values,
        ((UDID, computer.udid), (COMPUTER, computer.id)), trust_serial,
    )  # fmt: skip


def compliance_signal(wiring: Wiring, computer: str, *, complies: bool, since: str, at: datetime) -> Signal:
    """A computer came into the group of those that do not comply, or left it.

    ``since``: when was last looked, which makes the message's id.
    """
    kind = "mdm.compliant" if complies else "mdm.noncompliant"
    return wiring.signal(
        kind, Whom(alias=(COMPUTER, computer)), message_id=f"{kind}:{computer}:{since}", observed_at=at,
        evidence=f"{'left' if complies else 'in'} the group of those that do not comply",
    )  # fmt: skip
