"""Entra ID's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom
from troth.trust.standing import Standing

#: Object id of a user; ``deviceId``, which a device itself shows; object id of a device.
USER: Final = "entra.user"
DEVICE: Final = "entra.device"
OBJECT: Final = "entra.object"

#: ``riskState`` → whether the user is at risk. A state that nobody knows is a risk.
AT_RISK: Final[Mapping[str, bool]] = {
    "none": False, "confirmedSafe": False, "remediated": False, "dismissed": False, "atRisk": True,
    "confirmedCompromised": True,
}  # fmt: skip
COMPROMISED: Final = "confirmedCompromised"
#: ``riskLevel`` of a user at risk → severity. ``hidden``: the licence does not show it; it is as bad as a medium one.
LEVEL: Final[Mapping[str, int]] = {"low": 30, "medium": 50, "high": 80, "hidden": 50, "none": 30}
UNKNOWN_LEVEL: Final = 50
#: The cause of a device that is disabled in the directory.
DISABLED_DEVICE: Final = "entra.device_disabled"
#: ``operatingSystem`` → ``device.platform``.
PLATFORM: Final[Mapping[str, str]] = {
    "Windows": "windows", "MacMDM": "macos", "macOS": "macos", "Linux": "linux", "iOS": "ios", "IPhone": "ios",
    "IPad": "ios", "Android": "android", "AndroidEnterprise": "android", "AndroidForWork": "android",
}  # fmt: skip


class RiskyUser(
    msgspec.Struct,
    rename={"level": "riskLevel", "state": "riskState", "detail": "riskDetail", "updated": "riskLastUpdatedDateTime",
            "upn": "userPrincipalName"},
):  # fmt: skip
    """A ``riskyUser``."""

    id: str
    state: str
    updated: str
    level: str = ""
    detail: str | None = ""
    upn: str | None = ""


class User(msgspec.Struct, rename={"enabled": "accountEnabled", "upn": "userPrincipalName", "removed": "@removed"}):
    """A user of a delta query, as far as it is looked at."""

    id: str
    enabled: bool | None = None
    upn: str | None = ""
    removed: dict[str, Any] | None = None


class Device(
    msgspec.Struct,
    rename={"device_id": "deviceId", "enabled": "accountEnabled", "compliant": "isCompliant", "managed": "isManaged",
            "system": "operatingSystem", "version": "operatingSystemVersion", "removed": "@removed"},
):  # fmt: skip
    """A device of a delta query, as far as it is looked at."""

    id: str
    device_id: str = ""
    enabled: bool | None = None
    compliant: bool | None = None
    managed: bool | None = None
    system: str | None = ""
    version: str | None = ""
    removed: dict[str, Any] | None = None


def risk_signal(wiring: Wiring, user: RiskyUser) -> Signal:
    """How risky a user is held to be, as a level."""
    at_risk = AT_RISK.get(user.state, True)
    compromised = user.state == COMPROMISED
    severity = 95 if compromised else LEVEL.get(user.level, UNKNOWN_LEVEL)
    return wiring.signal(
        "idp.user_at_risk" if at_risk else "idp.risk_cleared",
        Whom(alias=(USER, user.id)),
        message_id=f"risk:{user.id}:{user.updated}:{user.state}:{user.level}"[:200],
        observed_at=moment(user.updated),
        level=Standing.QUARANTINED if compromised else None,
        severity=severity if at_risk else None,
        confidence=95 if compromised else None,
        evidence=" · ".join(one for one in (user.state, user.level, user.detail) if one),
        fields={"upn": (user.upn or "")[:200], "detail": (user.detail or "")[:200]},
    )


def user_signal(wiring: Wiring, user: User, *, at: datetime, mark: str, first: bool) -> Signal | None:
    """What a change of a user says of the account. ``mark``: of the page, which makes the message's id.

    ``first``: it is not a change but the list that changes start from; only what is amiss is told then.
    """
    if is_deleted(user.removed):
        kind = "idp.user_deleted"
    elif user.enabled is None or (user.enabled and first):
        return None
    else:
        kind = "idp.user_enabled" if user.enabled else "idp.user_disabled"
    return wiring.signal(
        kind, Whom(alias=(USER, user.id)), message_id=f"{kind}:{user.id}:{mark}", observed_at=at,
        evidence="deleted" if kind == "idp.user_deleted" else f"accountEnabled {user.enabled}".lower(),
        fields={"upn": (user.upn or "")[:200]} if user.upn else {},
    )  # fmt: skip


def user_report(user: User, at: datetime) -> Reported | None:
    """By which name Entra ID knows a user of ours, and whether the account is enabled."""
    if not user.upn or user.removed is not None:
        return None
    values: dict[str, Json] = {} if user.enabled is None else {"user.enabled": user.enabled}
    return Reported(Whom(alias=("upn", user.upn)), at, values, ((USER, user.id),))


def device_signals(wiring: Wiring, device: Device, *, at: datetime, mark: str, first: bool) -> list[Signal]:
    """What a change of a device says: compliance as its manager sees it, and whether the directory disabled it."""
    whom = Whom(alias=(OBJECT, device.id))
    if is_deleted(device.removed):
        return [wiring.signal("mdm.retired", whom, message_id=f"deleted:{device.id}:{mark}", observed_at=at,
                              evidence="deleted from Entra ID")]  # fmt: skip
    found = []
    for said, bad, good, cause, evidence in (
        (device.compliant, "mdm.noncompliant", "mdm.compliant", None, "isCompliant"),
        (device.enabled, "mdm.noncompliant", "mdm.compliant", DISABLED_DEVICE, "accountEnabled"),
    ):
        if said is None or (said and first):
            continue
        disabled = cause is not None and not said
        found.append(
            wiring.signal(
                good if said else bad,
                whom,
                message_id=f"{evidence}:{device.id}:{said}:{mark}",
                observed_at=at,
                cause=cause,
                level=Standing.QUARANTINED if disabled else None,
                severity=90 if disabled else None,
                evidence=f"{evidence} {said}".lower(),
            )
        )
    return found


def device_report(device: Device, at: datetime) -> Reported | None:
    """What is known of a device; it is found by the ``deviceId`` that Intune, or a person, has bound."""
    if not device.device_id or device.removed is not None:
        return None
    values: dict[str, Json] = {}
    if device.compliant is not None:
        values["posture.compliant"] = device.compliant
    if device.managed is not None:
        values["device.managed"] = device.managed
    if (device.system or "") in PLATFORM:
        values["device.platform"] = PLATFORM[device.system or ""]
    if device.version:
        values["posture.os_version"] = device.version[:200]
    return Reported(Whom(alias=(DEVICE, device.device_id)), at, values, ((OBJECT, device.id),))


def is_deleted(removed: Mapping[str, Any] | None) -> bool:
    """Whether ``@removed`` says that the object is gone; one that may be restored (``changed``) is gone as well."""
    return removed is not None
