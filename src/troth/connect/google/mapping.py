"""Google's words as ours. Whatever is not in a table is unknown, and unknown is not good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Reported, Wiring
from troth.kit.canonical import Json
from troth.trust.signals.model import Signal, Whom

USER: Final = "google.user"

#: Name of an event of the application ``login`` → kind and severity. Others say nothing of whether to trust a user.
LOGIN: Final[Mapping[str, tuple[str, int | None]]] = {
    "account_disabled_hijacked": ("idp.credential_compromised", 95),
    "account_disabled_password_leak": ("idp.credential_compromised", 85),
    "account_disabled_generic": ("idp.user_disabled", None),
    "account_disabled_spamming": ("idp.user_disabled", None),
    "account_disabled_spamming_through_relay": ("idp.user_disabled", None),
    "suspicious_login": ("idp.risk_event", 60),
    "suspicious_login_less_secure_app": ("idp.risk_event", 60),
    "suspicious_programmatic_login": ("idp.risk_event", 60),
    "user_signed_out_due_to_suspicious_session_cookie": ("idp.risk_event", 70),
    "gov_attack_warning": ("idp.risk_event", 80),
    "blocked_sender": ("idp.risk_event", 30),
}
#: Name of an event of the application ``admin`` → kind; whom it is about stands in a parameter.
ADMIN: Final[Mapping[str, str]] = {
    "SUSPEND_USER": "idp.user_disabled",
    "UNSUSPEND_USER": "idp.user_enabled",
    "DELETE_USER": "idp.user_deleted",
    "UNDELETE_USER": "idp.user_enabled",
    "CHANGE_PASSWORD": "idp.credential_reset",
    "ENFORCE_STRONG_AUTHENTICATION": "idp.assurance_raised",
    "TURN_OFF_2_STEP_VERIFICATION": "idp.assurance_lowered",
    "UNENROLL_USER_FROM_STRONG_AUTH": "idp.assurance_lowered",
    "RESET_SIGNIN_COOKIES": "idp.sessions_revoked",
}
_ABOUT: Final = "USER_EMAIL"
_AFFECTED: Final = "affected_email_address"


class Mark(msgspec.Struct, rename={"qualifier": "uniqueQualifier"}):
    """What makes an activity the one it is."""

    time: str
    qualifier: str


class Actor(msgspec.Struct, rename={"id": "profileId"}):
    """Who did it."""

    email: str | None = ""
    id: str | None = ""


class Parameter(msgspec.Struct):
    """One of an event's parameters; those that are no text are passed over."""

    name: str
    value: str | None = None


class Event(msgspec.Struct):
    """What was done."""

    name: str
    type: str = ""
    parameters: Sequence[Parameter] = ()

    def text(self, name: str) -> str:
        """The parameter of that name; empty where there is none."""
        return next((one.value or "" for one in self.parameters if one.name == name), "")


class Activity(msgspec.Struct):
    """An activity of the Reports API, as far as it is looked at."""

    id: Mark
    events: Sequence[Event]
    actor: Actor | None = None


class User(msgspec.Struct, rename={"email": "primaryEmail", "reason": "suspensionReason"}):
    """A user of the Directory API, as far as it is looked at."""

    id: str
    email: str
    suspended: bool | None = None
    reason: str | None = ""


def activity_signals(wiring: Wiring, application: str, activity: Activity) -> list[Signal]:
    """What an activity says; it may have several events."""
    found = []
    actor = activity.actor or Actor()
    for number, event in enumerate(activity.events):
        severity: int | None = None
        if application == "admin":
            kind, email = ADMIN.get(event.name), event.text(_ABOUT)
            whom = Whom(alias=("email", email)) if email else None
            if kind == "idp.credential_reset" and email and email == actor.email:
                # Who has stolen a password can change it too: only another's act takes back that it is compromised.
                kind = "idp.credential_change"
        else:
            kind, severity = LOGIN.get(event.name, (None, None))
            email = event.text(_AFFECTED) or actor.email or ""
            whom = Whom(alias=("email", email)) if email else Whom(alias=(USER, actor.id)) if actor.id else None
        if kind is None:
            continue
        if whom is None:
            raise ValueError(f"{event.name} names no user")
        fields: dict[str, Json] = {"event": event.name[:200], "actor": (actor.email or "")[:200]}
        made = wiring.signal(
            kind, whom, message_id=f"{application}:{activity.id.time}:{activity.id.qualifier}:{number}"[:200],
            observed_at=moment(activity.id.time), severity=severity, evidence=event.name,
            sequence=activity.id.qualifier[:200], fields={name: value for name, value in fields.items() if value},
        )  # fmt: skip
        found.append(made)
    return found


def suspension_signal(wiring: Wiring, user: str, *, suspended: bool, since: str, at: datetime, why: str = "") -> Signal:
    """A user was suspended, or is so no longer. ``since``: when was last looked, which makes the message's id."""
    kind = "idp.user_disabled" if suspended else "idp.user_enabled"
    return wiring.signal(
        kind, Whom(alias=(USER, user)), message_id=f"{kind}:{user}:{since}", observed_at=at,
        evidence=f"suspended {why}".strip() if suspended else "no longer suspended",
    )  # fmt: skip


def user_report(user: User, at: datetime) -> Reported:
    """By which name Google knows a user of ours, found by the address."""
    values: dict[str, Json] = {} if user.suspended is None else {"user.enabled": not user.suspended}
    return Reported(Whom(alias=("email", user.email)), at, values, ((USER, user.id),))


def texts(raw: Any) -> Any:
    """An activity with the parameters that are no text left out: there are five kinds of them."""
    if isinstance(raw, dict):
        for event in raw.get("events") or ():
            if isinstance(event, dict):
                event["parameters"] = [
                    one for one in event.get("parameters") or ()
                    if isinstance(one, dict) and isinstance(one.get("value"), str | None)
                ]  # fmt: skip
    return raw
