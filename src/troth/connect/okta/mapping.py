"""Okta's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Method, Signal, Whom

USER: Final = "okta.user"

#: Type of a log event → the kind it is told as. Others say nothing about whether a user is to be trusted.
EVENTS: Final[Mapping[str, str]] = {
    "user.lifecycle.suspend": "idp.user_disabled",
    "user.lifecycle.deactivate": "idp.user_disabled",
    "user.lifecycle.delete.initiated": "idp.user_deleted",
    "user.lifecycle.delete.completed": "idp.user_deleted",
    "user.lifecycle.unsuspend": "idp.user_enabled",
    "user.lifecycle.activate": "idp.user_enabled",
    "user.lifecycle.reactivate": "idp.user_enabled",
    "user.account.lock": "idp.risk_event",
    "user.account.lock.limit": "idp.risk_event",
    "user.account.report_suspicious_activity_by_enduser": "idp.risk_event",
    "security.breached_credential.detected": "idp.credential_compromised",
    "security.session.detect_client_roaming": "idp.risk_event",
    "user.risk.change": "idp.user_at_risk",
    "user.risk.detect": "idp.user_at_risk",
    "user.session.clear": "idp.sessions_revoked",
    "user.authentication.universal_logout": "idp.sessions_revoked",
    "user.account.reset_password": "idp.credential_reset",
    "user.account.update_password": "idp.credential_change",
    "user.mfa.factor.reset_all": "idp.credential_change",
    "user.mfa.factor.deactivate": "idp.credential_change",
}
#: Severity of those kinds where Okta's own (DEBUG to ERROR: of the log line, not of the event) says nothing.
SEVERITY: Final[Mapping[str, int]] = {
    "user.account.lock": 40,
    "user.account.lock.limit": 40,
    "user.account.report_suspicious_activity_by_enduser": 70,
    "security.session.detect_client_roaming": 50,
}
#: Level of ``user.risk.*`` → kind and severity. A level that nobody knows is a medium one.
RISK: Final[Mapping[str, tuple[str, int]]] = {
    "NONE": ("idp.risk_cleared", 0),
    "SECURE": ("idp.risk_cleared", 0),
    "LOW": ("idp.risk_cleared", 0),
    "MEDIUM": ("idp.user_at_risk", 50),
    "HIGH": ("idp.user_at_risk", 80),
}
UNKNOWN_RISK: Final = ("idp.user_at_risk", 50)
#: Outcomes in which nothing happened. Any other, and a new one, is taken as having happened.
IN_VAIN: Final = frozenset({"FAILURE", "DENY", "SKIPPED", "ABANDONED"})
#: Status of a user → whether the account is disabled. A status that nobody knows leaves things as they are.
DISABLED: Final[Mapping[str, bool]] = {
    "STAGED": False, "PROVISIONED": False, "ACTIVE": False, "RECOVERY": False, "PASSWORD_EXPIRED": False,
    "LOCKED_OUT": False, "SUSPENDED": True, "DEPROVISIONED": True,
}  # fmt: skip


class Party(msgspec.Struct, rename={"alternate_id": "alternateId"}):
    """An actor or a target of an event."""

    id: str = ""
    type: str = ""
    alternate_id: str = ""


class Outcome(msgspec.Struct):
    """How it went."""

    result: str = ""
    reason: str | None = None


class DebugContext(msgspec.Struct, rename={"data": "debugData"}):
    """What Okta adds for people; the level of a risk stands here and nowhere else."""

    data: dict[str, Any] = {}


class Event(
    msgspec.Struct,
    rename={"type": "eventType", "message": "displayMessage", "debug": "debugContext"},
):
    """A ``LogEvent``, as far as it is looked at."""

    uuid: str
    published: str
    type: str
    message: str | None = ""
    actor: Party | None = None
    outcome: Outcome | None = None
    target: Sequence[Party] | None = ()
    debug: DebugContext | None = None


class Profile(msgspec.Struct):
    """Of a user: by which names people know it."""

    login: str = ""
    email: str | None = ""


class User(msgspec.Struct, rename={"last_updated": "lastUpdated", "status_changed": "statusChanged"}):
    """A user, as far as it is looked at."""

    id: str
    status: str
    last_updated: str
    status_changed: str | None = None
    profile: Profile = msgspec.field(default_factory=Profile)


def event_signal(wiring: Wiring, event: Event, *, method: Method = Method.TLS_PULL) -> Signal | None:
    """One line of the log as a signal; None for those that say nothing about a user. Raises ValueError.

    The message's id is the event's own, by whatever way it came: what a hook told first is taken once.
    """
    kind = EVENTS.get(event.type)
    if kind is None or (event.outcome is not None and event.outcome.result in IN_VAIN):
        return None
    user = next((one for one in event.target or () if one.type == "User"), None)
    actor = event.actor
    if user is None and actor is not None and actor.type == "User":
        user = actor
    if user is None or not user.id:
        raise ValueError(f"{event.type} names no user")
    severity = SEVERITY.get(event.type)
    if kind == "idp.user_at_risk":
        kind, severity = _risk(event)
    if kind == "idp.credential_reset" and actor is not None and actor.id == user.id:
        # Who has stolen a password can change it too: only another's act takes back that it is compromised.
        kind = "idp.credential_change"
    fields: dict[str, Json] = {
        "event_type": event.type[:200], "login": user.alternate_id[:200],
        "actor": (actor.alternate_id if actor is not None else "")[:200],
        "reason": ((event.outcome.reason if event.outcome is not None else "") or "")[:400],
    }  # fmt: skip
    return wiring.signal(
        kind,
        Whom(alias=(USER, user.id)),
        message_id=f"log:{event.uuid}",
        observed_at=moment(event.published),
        method=method,
        severity=severity,
        evidence=event.message or event.type,
        sequence=event.uuid[:200],
        fields={name: value for name, value in fields.items() if value},
    )


def user_signal(wiring: Wiring, user: User, *, since: str) -> Signal | None:
    """What a user's status says: that it is disabled, or, if that has changed after ``since``, that it is not."""
    disabled = DISABLED.get(user.status)
    if disabled is None:
        raise ValueError(f"status {user.status[:40]!r} is none that is documented")
    changed = moment(user.status_changed or user.last_updated)
    if not disabled and changed < moment(since):
        return None
    return wiring.signal(
        "idp.user_disabled" if disabled else "idp.user_enabled",
        Whom(alias=(USER, user.id)),
        message_id=f"user:{user.id}:{user.status}:{changed.isoformat()}",
        observed_at=changed,
        evidence=f"status {user.status}",
        fields={"login": user.profile.login[:200]},
    )


def user_report(user: User) -> Reported | None:
    """By which name Okta knows a user of ours."""
    if not user.profile.login:
        return None
    return Reported(Whom(alias=("upn", user.profile.login)), moment(user.last_updated), {}, ((USER, user.id),))


def _risk(event: Event) -> tuple[str, int]:
    """``debugData.risk`` is ``{level=HIGH, reasons=…}`` as a text; ``riskLevel`` in newer lines."""
    data = event.debug.data if event.debug is not None else {}
    level = _text(data.get("riskLevel")) or _level(_text(data.get("risk")))
    return RISK.get(level.upper(), UNKNOWN_RISK)


def _level(text: str) -> str:
    for part in text.strip("{} ").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "level":
            return value.strip()
    return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
