"""How the dashboard words and marks things: one table for each kind of status, and a sentence for each ledger event.

A status is always a colour, a word and a symbol together; nothing may be told by colour alone (WCAG 1.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from troth.audit.event import StreamEvent
from troth.web.views import EventView


@dataclass(frozen=True, slots=True)
class Look:
    """Tone (a CSS class), symbol and word."""

    tone: str
    icon: str
    word: str


LOOKS: Mapping[str, Mapping[str, Look]] = {
    "status": {
        "good": Look("good", "circle-check", "good"),
        "held": Look("calm", "circle-pause", "on hold"),
        "revoked": Look("bad", "circle-x", "revoked"),
        "expired": Look("", "clock", "expired"),
        "reserved": Look("", "circle-dashed", "being signed"),
        "burnt": Look("bad", "circle-x", "burnt"),
    },
    "standing": {
        "trusted": Look("good", "shield-check", "trusted"),
        "restricted": Look("warn", "shield-alert", "restricted"),
        "quarantined": Look("calm", "circle-pause", "quarantined"),
        "distrusted": Look("bad", "shield-x", "distrusted"),
    },
    "outcome": {
        "allow": Look("good", "circle-check", "allowed"),
        "restrict": Look("warn", "shield-alert", "restricted"),
        "quarantine": Look("calm", "circle-pause", "quarantined"),
        "deny": Look("bad", "circle-x", "denied"),
    },
    "truth": {
        "true": Look("good", "check", "met"),
        "false": Look("bad", "x", "not met"),
        "unknown": Look("warn", "circle-help", "unknown"),
    },
    "check": {
        "ok": Look("good", "circle-check", "well"),
        "warn": Look("warn", "triangle-alert", "look at this"),
        "fail": Look("bad", "circle-x", "failing"),
    },
    "crl": {
        "fresh": Look("good", "circle-check", "CRL fresh"),
        "due": Look("warn", "clock", "CRL due"),
        "late": Look("bad", "circle-x", "CRL late"),
        "none": Look("", "circle-dashed", "no CRL"),
    },
    "feed": {
        "ok": Look("good", "circle-check", "reporting"),
        "live": Look("good", "circle-check", "reporting"),
        "silent": Look("", "circle-dashed", "silent so far"),
        "late": Look("warn", "clock", "late"),
        "stale": Look("warn", "triangle-alert", "stale"),
        "dead": Look("bad", "circle-x", "dead"),
        "disabled": Look("", "ban", "disabled"),
    },
    "staged": {
        "waiting": Look("warn", "hand", "waiting"),
        "approved": Look("good", "circle-check", "approved"),
        "rejected": Look("", "x", "rejected"),
        "expired": Look("", "clock", "expired"),
    },
}

#: What a live event may turn a badge into; pages carry a template for each.
BADGE_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "status": ("good", "held", "revoked", "burnt"),
    "standing": ("trusted", "restricted", "quarantined", "distrusted"),
}

STANDING_SENTENCES: Mapping[str, str] = {
    "trusted": "Certificates are issued and good, as policy allows.",
    "restricted": "Certificates are shorter-lived and good; access is restricted.",
    "quarantined": "Certificates are on hold; only the short quarantine profile is issued, so that it can heal.",
    "distrusted": "Certificates are revoked, and none is issued.",
}

REVOCATION_REASONS: Mapping[int, str] = {
    0: "unspecified",
    1: "key compromise",
    3: "affiliation changed",
    4: "superseded",
    5: "cessation of operation",
    9: "privilege withdrawn",
}

_EVENT_LOOKS: tuple[tuple[str, Look], ...] = (
    ("certificate.issued", Look("good", "file-badge", "")),
    ("certificate.held", Look("calm", "circle-pause", "")),
    ("certificate.released", Look("good", "circle-check", "")),
    ("certificate.revoked", Look("bad", "circle-x", "")),
    ("certificate.burnt", Look("bad", "circle-x", "")),
    ("certificate.", Look("", "file-badge", "")),
    ("decision.", Look("", "scale", "")),
    ("standing.", Look("calm", "shield-alert", "")),
    ("signal.", Look("warn", "radio-tower", "")),
    ("staged.", Look("warn", "hand", "")),
    ("access.login_failed", Look("bad", "key-round", "")),
    ("access.", Look("", "key-round", "")),
    ("enforcement.", Look("bad", "snowflake", "")),
    ("policy.", Look("", "scale", "")),
    ("feed.", Look("", "radio-tower", "")),
    ("subject.", Look("", "users", "")),
    ("authority.", Look("", "landmark", "")),
    ("crl.", Look("", "landmark", "")),
)
_PLAIN = Look("", "circle-dot", "")


def badge_look(kind: str, value: str) -> Look:
    """How ``value`` is shown; a value nobody foresaw is shown as it is."""
    return LOOKS[kind].get(value) or Look("", "circle-dashed", value)


def event_look(kind: str) -> Look:
    """Symbol and tone of an event."""
    return next((look for prefix, look in _EVENT_LOOKS if kind.startswith(prefix)), _PLAIN)


def actor_words(actor: str | None) -> str:
    """``admin:alice`` → ``alice``; ``system:gate`` → ``Troth (gate)``; ``feed:edr`` → ``feed edr``."""
    kind, _, name = (actor or "").partition(":")
    return {
        "": "nobody",
        "admin": name,
        "system": f"Troth ({name})",
        "feed": f"feed {name}",
        "acme": f"ACME account {name[:8]}",
        "token": f"API token {name[:8]}",
        "local": f"local user {name}",
    }.get(kind, actor or "")


def _name(data: Mapping[str, Any]) -> str:
    for key in ("common_name", "name", "subject", "subject_name"):
        if data.get(key):
            return str(data[key])
    names = data.get("names")
    if isinstance(names, list) and names:
        first = names[0]
        return str(first[-1] if isinstance(first, list) else first)
    serial = data.get("serial")
    return f"certificate {str(serial)[:12]}…" if serial else "a certificate"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "certificate.reserved": lambda d: f"Serial number reserved for {_name(d)}",
    "certificate.issued": lambda d: f"Issued {_name(d)}",
    "certificate.held": lambda d: f"Put {_name(d)} on hold{_because(d)}",
    "certificate.released": lambda d: f"Released {_name(d)}: no cause remains",
    "certificate.revoked": lambda d: f"Revoked {_name(d)}{_because(d)}",
    "certificate.burnt": lambda d: f"Burnt the serial number of {_name(d)} after a crash",
    "decision.made": lambda d: f"Decided: {d.get('outcome', '')} for {_name(d)}",
    "access.login": lambda d: f"Logged in with a {d.get('method', 'password')} from {d.get('address', 'somewhere')}",
    "access.login_failed": lambda d: f"A log-in for {d.get('account', 'unknown')} failed, from {d.get('address', '?')}",
    "access.logout": lambda _: "Logged out",
    "access.principal_created": lambda d: f"Made the account {d.get('name')} ({d.get('role')})",
    "access.bootstrap_token_made": lambda _: "Wrote a set-up token for the first administrator",
    "access.invited": lambda d: f"Invited {d.get('name') or 'somebody'} as {d.get('role')}",
    "access.token_created": lambda d: f"Made the API token {d.get('name')} ({d.get('role')})",
    "access.token_revoked": lambda _: "Took an API token back",
    "access.session_revoked": lambda _: "Ended a log-in",
    "access.principal_disabled": lambda d: f"Disabled the account {d.get('name')}",
    "access.principal_active": lambda d: f"Enabled the account {d.get('name')}",
}


def _because(data: Mapping[str, Any]) -> str:
    if data.get("cause"):
        return f", cause {data['cause']}"
    reason = data.get("reason")
    return f", {REVOCATION_REASONS[reason]}" if isinstance(reason, int) and reason in REVOCATION_REASONS else ""


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """An event in words; one that has no sentence of its own is told from its kind and its plainest values."""
    made = _SENTENCES.get(kind)
    if made is not None:
        return made(data)
    words = kind.replace(".", " ").replace("_", " ")
    told = [str(data[key]) for key in ("name", "subject", "from", "standing", "to", "feed", "slug") if data.get(key)]
    return f"{words[:1].upper()}{words[1:]}" + (f": {', '.join(told)}" if told else "")


_PAGES = {
    "certificate": ("certificate", "/certificates/"),
    "subject": ("subject", "/subjects/"),
    "decision": ("why", "/decisions/"),
}


def event_view(event: StreamEvent) -> EventView:
    """A ledger event as pages and API show it."""
    links: list[tuple[str, str]] = []
    for ref in event.subjects:
        kind, _, identifier = ref.partition(":")
        if kind in _PAGES and len(links) < 3:
            title, path = _PAGES[kind]
            links.append((title, path + identifier))
    return EventView(
        event.index, event.id, event.recorded_at, event.kind, event.actor, event.subjects, dict(event.data),
        sentence(event.kind, event.data), tuple(links),
    )


def ago(moment: datetime, now: datetime) -> str:
    """``3 minutes ago``, ``in 2 days``: as the script words it in the browser."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    text = duration(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def duration(seconds: float) -> str:
    """``45 seconds``, ``3 hours``, ``90 days`` → ``3 months``: the largest whole unit."""
    for size, unit in ((31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    count = int(seconds)
    return f"{count} second{'s' if count != 1 else ''}"


def absolute(moment: datetime) -> str:
    """``2026-11-23 13:20:05 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
