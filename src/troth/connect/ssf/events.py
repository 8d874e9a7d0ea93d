"""Every event type that can come: CAEP 1.0, RISC 1.0, SSF 1.0, and three vendors' own.

Here stand the URIs and which claims an event must have, as its specification words them. What an event does is said in
``mapping``. Values that a specification does not list are kept as they are and never taken for a good one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from troth.connect.ssf.errors import SET_MALFORMED, refused
from troth.connect.ssf.secevent import storable

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"
#: Before SSF had a URI of its own; Google's verification is under RISC's.
OLDER_SSF: Final = "https://schemas.openid.net/secevent/sse/event-type/"
OAUTH: Final = "https://schemas.openid.net/secevent/oauth/event-type/"
OKTA: Final = "https://schemas.okta.com/secevent/okta/event-type/"

VERIFICATION: Final = SSF + "verification"
STREAM_UPDATED: Final = SSF + "stream-updated"


@dataclass(frozen=True, slots=True)
class EventType:
    """One type.

    Attributes:
        name: short, unique: ``caep.session-revoked``.
        required: claims it must have, texts all (but ``claims``, an object). CAEP wants ``previous_status`` too; it
            says nothing that is needed here, and real transmitters leave it out.
    """

    uri: str
    name: str
    required: tuple[str, ...] = ()


def _caep(name: str, *required: str) -> EventType:
    return EventType(CAEP + name, f"caep.{name}", required)


def _risc(name: str, *required: str) -> EventType:
    return EventType(RISC + name, f"risc.{name}", required)


_TYPES: Final = (
    _caep("session-revoked"),
    _caep("token-claims-change", "claims"),
    _caep("credential-change", "credential_type", "change_type"),
    _caep("assurance-level-change", "namespace", "current_level"),
    _caep("device-compliance-change", "current_status"),
    _caep("session-established"),
    _caep("session-presented"),
    _caep("risk-level-change", "principal", "current_level"),
    _risc("account-credential-change-required"),
    _risc("account-purged"),
    _risc("account-disabled"),
    _risc("account-enabled"),
    _risc("identifier-changed"),
    _risc("identifier-recycled"),
    _risc("credential-compromise", "credential_type"),
    _risc("opt-in"),
    _risc("opt-out-initiated"),
    _risc("opt-out-cancelled"),
    _risc("opt-out-effective"),
    _risc("recovery-activated"),
    _risc("recovery-information-changed"),
    _risc("sessions-revoked"),
    EventType(VERIFICATION, "ssf.verification"),
    EventType(STREAM_UPDATED, "ssf.stream-updated", ("status",)),
    EventType(OLDER_SSF + "verification", "ssf.verification"),
    EventType(OLDER_SSF + "stream-updated", "ssf.stream-updated", ("status",)),
    EventType(RISC + "verification", "ssf.verification"),
    EventType(OAUTH + "tokens-revoked", "google.tokens-revoked"),
    EventType(OAUTH + "token-revoked", "google.token-revoked"),
    # Okta's own, which Jamf sends as well: levels in lower case, the subject inside the event.
    EventType(OKTA + "user-risk-change", "okta.user-risk-change", ("current_level",)),
    EventType(OKTA + "device-risk-change", "okta.device-risk-change", ("current_level",)),
    EventType(OKTA + "ip-change", "okta.ip-change"),
)
TYPES: Final[Mapping[str, EventType]] = {one.uri: one for one in _TYPES}

#: What we ask a transmitter for unless told otherwise: what changes something here.
REQUESTED: Final = tuple(
    CAEP + name
    for name in (
        "session-revoked", "credential-change", "assurance-level-change", "device-compliance-change",
        "risk-level-change",
    )
) + tuple(
    RISC + name
    for name in (
        "account-credential-change-required", "account-purged", "account-disabled", "account-enabled",
        "identifier-changed", "identifier-recycled", "credential-compromise", "sessions-revoked",
    )
)  # fmt: skip


def known(uri: str, event: Mapping[str, Any]) -> EventType | None:
    """The type of ``event``, its claims checked; None for a type that nobody here knows. Raises SetRefused."""
    found = TYPES.get(uri)
    if found is None:
        return None
    for name in found.required:
        value = event.get(name)
        if not isinstance(value, dict) if name == "claims" else text_of(event, name) is None:
            raise refused(SET_MALFORMED, f"the event {found.name} has no claim {name}")
    return found


def text_of(event: Mapping[str, Any], name: str, *, limit: int = 1_024) -> str | None:
    """A claim that is a text that can be kept."""
    value = event.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= limit and storable(value) else None


def happened_at(event: Mapping[str, Any], issued_at: datetime) -> datetime:
    """When the event says that it happened (CAEP 1.0, section 2), in seconds, or milliseconds as some have it; else
    when the token was issued. Never later than that."""
    value = event.get("event_timestamp")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1 << 44:
        return issued_at
    seconds = value / 1000 if value > 100_000_000_000 else value
    return min(issued_at, datetime.fromtimestamp(seconds, UTC))


def reason_of(event: Mapping[str, Any]) -> str:
    """What the event wants an administrator to read: English if there is any (CAEP 1.0, section 2)."""
    for name in ("reason_admin", "reason_user", "risk_reason", "reason"):
        value = event.get(name)
        if isinstance(value, dict):
            texts = {tag: one for tag, one in value.items() if isinstance(one, str) and one}
            value = next((one for tag, one in texts.items() if tag.lower().startswith("en")), None)
            value = value or next(iter(texts.values()), None)
        if isinstance(value, str) and value:
            return "".join(letter if letter.isprintable() else " " for letter in value)[:500]
    return ""
