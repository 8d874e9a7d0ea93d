"""The one table from events to signals: what an event of each type says, about whom, and how far it reaches.

Nothing here touches a database. A :class:`Reading` says what should happen; the receiver finds the subjects and hands
signals to the inbox. Three rules hold throughout. A value that no specification lists is *unknown*: kept and counted,
never taken for a good one. What clears, clears only what the same feed raised. An event that names no user and no
device, but a tenant, a group or a unit, means everybody in it: it waits for a person and fans out by itself to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from troth.connect.ssf.events import EventType, reason_of, text_of
from troth.connect.ssf.secevent import SecurityEvent
from troth.connect.ssf.subjects import AnySubject, ComplexSubject, Identifier, names


class Outcome(StrEnum):
    """What becomes of an event."""

    SIGNALS = "signals"
    """It says something about a subject."""
    NOTED = "noted"
    """It is understood, and changes nothing here."""
    WIDE = "wide"
    """It is about many at once: it waits for a person."""
    IDENTIFIER = "identifier"
    """An identifier changed hands: aliases go."""
    UNKNOWN = "unknown"
    """A value in it is on no list."""
    IGNORED = "ignored"
    """Its type is not known here."""
    DISCARDED = "discarded"
    """It has to be discarded: another tenant's, or a critical member that means nothing here."""
    STREAM = "stream"
    """It is about the stream itself."""


Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that an event says.

    Attributes:
        kind: of signal.
        severity: 0 to 100; None: the kind's own.
        about: who may be meant, by alias, the surest first.
        certificate: in place of that: (issuer, serial number in lower-case hexadecimal).
    """

    kind: str
    about: tuple[Name, ...]
    severity: int | None = None
    certificate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event comes to. ``names``: aliases that mean somebody else from now on."""

    outcome: Outcome
    said: tuple[Said, ...] = ()
    detail: str = ""
    names: tuple[Name, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """An event with what is known of its stream.

    Attributes:
        systems: member of a subject → the system in which the transmitter's own identifiers are known here.
    """

    event: SecurityEvent
    type: EventType
    subject: AnySubject
    systems: Mapping[str, str] = field(default_factory=dict)

    def claim(self, name: str) -> str:
        """A claim of the event; empty if there is none."""
        return text_of(self.event.event, name) or ""

    def about(self, *members: str) -> tuple[Name, ...]:
        """Who is meant: by the members in that order, or by the simple subject."""
        if isinstance(self.subject, Identifier):
            return self._names(self.subject, members[0])
        found: list[Name] = []
        for member in (*members, "session"):
            one = self.subject.members.get(member)
            if one is not None:
                found += self._names(one, member)
        return tuple(dict.fromkeys(found))

    def _names(self, one: Identifier, member: str) -> tuple[Name, ...]:
        own = self.systems.get(member)
        value = one.values.get("sub") or one.values.get("id")
        first = [(own, value)] if own and value and "@" not in value else []
        return tuple(name for name in (*first, *names(one, self.event.issuer)) if 0 < len(name[1]) <= _MAX_ALIAS)


#: Bytes of what a person is shown of an event.
_MAX_TOLD: Final = 3_000
#: Longer names stand in no table of aliases.
_MAX_ALIAS: Final = 400
_Rule: TypeAlias = "Callable[[Heard], Reading]"


def read(heard: Heard) -> Reading:
    """What ``heard`` comes to."""
    reading = _TABLE[heard.type.name](heard)
    if reading.outcome is not Outcome.SIGNALS:
        return reading
    wide = isinstance(heard.subject, ComplexSubject) and heard.subject.wide
    if wide and not any(one.certificate for one in reading.said):
        return Reading(Outcome.WIDE, reading.said, f"names nobody in particular: {heard.subject}", (), _told(heard))
    return Reading(Outcome.SIGNALS, reading.said, reading.detail, reading.names, _told(heard))


def _told(heard: Heard) -> dict[str, str]:
    """What a person should see of the event: its texts, bounded, and the subject as it was named."""
    found = {
        "event": heard.type.name,
        "subject": str(heard.subject)[:200],
        "reason": reason_of(heard.event.event)[:200],
    }
    room = _MAX_TOLD - sum(len(value.encode()) for value in found.values())
    for name in sorted(heard.event.event)[:16]:
        value = text_of(heard.event.event, name, limit=200)
        # Twice, since JSON writes some characters longer than they are.
        room -= 2 * len((name + (value or "")).encode()) + 8
        if value is not None and len(name) <= 60 and room > 0:
            found.setdefault(_plain(name), _plain(value))
    return {name: value for name, value in found.items() if value}


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _signals(*said: Said, detail: str = "") -> Reading:
    return Reading(Outcome.SIGNALS, said, detail)


def _unknown(heard: Heard, claim: str) -> Reading:
    return Reading(Outcome.UNKNOWN, (), f"{claim} is {heard.claim(claim)[:80]!r}, which is on no list")


def _says(kind: str, *members: str, severity: int | None = None) -> _Rule:
    """The event says just this of whoever ``members`` name."""
    return lambda heard: _signals(Said(kind, heard.about(*members), severity))


def _noted(detail: str) -> _Rule:
    return lambda _heard: Reading(Outcome.NOTED, (), detail)


def _credential_change(heard: Heard) -> Reading:
    """CAEP 1.0, 3.3. A revoked credential is no compromised one, and a new password that its user chose proves nothing;
    one that an administrator or a policy set ends what this feed said of the old one."""
    change, kind, about = heard.claim("change_type").lower(), heard.claim("credential_type"), heard.about("user")
    if change not in ("create", "revoke", "update", "delete"):
        return _unknown(heard, "change_type")
    serial = re.sub(r"[\s:]", "", heard.claim("x509_serial")).lower().removeprefix("0x")
    if kind == "x509" and heard.claim("x509_issuer") and re.fullmatch(r"[0-9a-f]{1,42}", serial):
        if change in ("revoke", "delete"):
            certificate = (heard.claim("x509_issuer"), serial)
            return _signals(Said("idp.credential_change", about, 50, certificate))
        return Reading(Outcome.NOTED, (), f"a certificate: {change}")
    if change in ("revoke", "delete"):
        return _signals(Said("idp.credential_change", about, 50))
    by_others = heard.claim("initiating_entity") in ("admin", "policy", "system")
    if change == "update" and kind in ("password", "pin") and by_others:
        return _signals(Said("idp.credential_reset", about))
    return _signals(Said("idp.credential_change", about, 20))


def _assurance(heard: Heard) -> Reading:
    """CAEP 1.0, 3.4. Without a direction, two levels of NIST's can still be compared; nothing else is guessed."""
    direction = heard.claim("change_direction").lower()
    if not direction and heard.claim("namespace").upper() in ("NIST-IAL", "NIST-AAL", "NIST-FAL"):
        now, before = (re.search(r"([1-4])\Z", heard.claim(name)) for name in ("current_level", "previous_level"))
        if now and before and now[1] != before[1]:
            direction = "increase" if now[1] > before[1] else "decrease"
    if direction == "decrease":
        return _signals(Said("idp.assurance_lowered", heard.about("user")))
    if direction == "increase":
        return _signals(Said("idp.assurance_raised", heard.about("user")))
    return Reading(Outcome.UNKNOWN, (), "neither raised nor lowered, as far as it says")


def _compliance(heard: Heard) -> Reading:
    status = heard.claim("current_status").lower()
    kind = {"compliant": "mdm.compliant", "not-compliant": "mdm.noncompliant"}.get(status)
    return _unknown(heard, "current_status") if kind is None else _signals(Said(kind, heard.about("device")))


#: Level → severity; 0 ends the risk. LOW is CAEP's lowest, `secure` and `none` are Okta's and Jamf's.
_LEVELS: Final[Mapping[str, int]] = {"none": 0, "secure": 0, "low": 0, "medium": 50, "high": 85}


def _risk(heard: Heard, principal: str) -> Reading:
    severity = _LEVELS.get(heard.claim("current_level").lower())
    if severity is None:
        return _unknown(heard, "current_level")
    if principal == "DEVICE":
        kind = "edr.suspicious" if severity else "edr.cleared"
        return _signals(Said(kind, heard.about("device"), severity or None))
    kind = "idp.user_at_risk" if severity else "idp.risk_cleared"
    return _signals(Said(kind, heard.about("user"), severity or None))


def _risk_level(heard: Heard) -> Reading:
    """CAEP 1.0, 3.8: ``principal`` says whose risk it is. A session's is its user's."""
    principal = heard.claim("principal").upper()
    if principal in ("USER", "SESSION", "DEVICE"):
        return _risk(heard, principal)
    if principal in ("TENANT", "ORG_UNIT", "GROUP"):
        reading = _risk(heard, "USER")
        if reading.outcome is Outcome.SIGNALS:
            return Reading(Outcome.WIDE, reading.said, f"the risk of a whole {principal.lower()}", (), _told(heard))
        return reading
    return _unknown(heard, "principal")


def _disabled(heard: Heard) -> Reading:
    severity = 100 if heard.claim("reason") == "hijacking" else None
    return _signals(Said("idp.user_disabled", heard.about("user"), severity))


def _identifier(heard: Heard) -> Reading:
    """RISC 1.0, 2.5 and 2.6: an address means somebody else, or nobody. What it was believed to mean is forgotten; the
    new value is for the directory to tell, not for a signal."""
    recycled = heard.type.name == "risc.identifier-recycled"
    detail = "it belongs to somebody else now" if recycled else "it was changed"
    return Reading(Outcome.IDENTIFIER, (), f"{heard.subject}: {detail}", heard.about("user"))


_TABLE: Final[Mapping[str, _Rule]] = {
    "caep.session-revoked": _says("idp.sessions_revoked", "device", "user"),
    "caep.token-claims-change": _noted("claims of a token changed; the directory tells what concerns us"),
    "caep.credential-change": _credential_change,
    "caep.assurance-level-change": _assurance,
    "caep.device-compliance-change": _compliance,
    "caep.session-established": _noted("a session began"),
    "caep.session-presented": _noted("a session was seen"),
    "caep.risk-level-change": _risk_level,
    "risc.account-credential-change-required": _says("idp.risk_event", "user", severity=40),
    "risc.account-purged": _says("idp.user_deleted", "user"),
    "risc.account-disabled": _disabled,
    "risc.account-enabled": _says("idp.user_enabled", "user"),
    "risc.identifier-changed": _identifier,
    "risc.identifier-recycled": _identifier,
    "risc.credential-compromise": _says("idp.credential_compromised", "user"),
    "risc.opt-in": _noted("the account takes part in RISC"),
    "risc.opt-out-initiated": _noted("the account will take no part in RISC"),
    "risc.opt-out-cancelled": _noted("the account takes part in RISC after all"),
    "risc.opt-out-effective": _noted("no more events come about this account"),
    "risc.recovery-activated": _says("idp.risk_event", "user", severity=30),
    "risc.recovery-information-changed": _says("idp.risk_event", "user", severity=20),
    "risc.sessions-revoked": _says("idp.sessions_revoked", "user"),
    "google.tokens-revoked": _says("idp.sessions_revoked", "user"),
    "google.token-revoked": _noted("one OAuth token was revoked"),
    "okta.user-risk-change": lambda heard: _risk(heard, "USER"),
    "okta.device-risk-change": lambda heard: _risk(heard, "DEVICE"),
    "okta.ip-change": _noted("a session moved to another address"),
    "ssf.verification": lambda _heard: Reading(Outcome.STREAM),
    "ssf.stream-updated": lambda _heard: Reading(Outcome.STREAM),
}


def kinds() -> Sequence[str]:
    """Every kind of signal that an event can become, for whoever grants a feed."""
    return (
        "idp.sessions_revoked", "idp.credential_change", "idp.credential_reset", "idp.credential_compromised",
        "idp.assurance_lowered", "idp.assurance_raised", "idp.user_at_risk", "idp.risk_cleared", "idp.risk_event",
        "idp.user_disabled", "idp.user_enabled", "idp.user_deleted", "mdm.compliant", "mdm.noncompliant",
        "edr.suspicious", "edr.cleared",
    )  # fmt: skip


def rules() -> Mapping[str, Any]:
    """The table's rows, for the test that it has one for each type."""
    return _TABLE
