"""The normalised signal: one security event about one subject, in Troth's own words.

A vendor's words are turned into these in ``connect``; from here on nobody asks who said what in which dialect.
:data:`KINDS` is the registry of what can be said and what it does unless the signal asks for less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from troth.trust.signal_errors import KIND_UNKNOWN, OBSERVED_IN_FUTURE, SignalError
from troth.trust.standing import Standing

#: How far a sender's clock may be ahead of ours.
FUTURE_TOLERANCE: Final = timedelta(minutes=5)

MAX_EVIDENCE: Final = 1_000
MAX_MESSAGE_ID: Final = 200
_CAUSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")


class Effect(Enum):
    """What a signal does to its cause."""

    RAISE = "raise"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class SignalKind:
    """One kind of signal.

    Attributes:
        name: dotted, ``<source class>.<what>``.
        effect: what it does unless the signal says otherwise.
        level: the standing its cause asks for when raised.
        cause: the cause key when the signal names none; a kind and the kind that clears it share it.
        summary: what it says, for people.
        revocation_reason: RFC 5280 reason for the revocation that a person may agree to; 9 is privilegeWithdrawn.
    """

    name: str
    effect: Effect
    level: Standing
    cause: str
    summary: str
    revocation_reason: int = 9


def _registry(*kinds: SignalKind) -> Mapping[str, SignalKind]:
    return {kind.name: kind for kind in kinds}


_R, _C = Effect.RAISE, Effect.CLEAR
_TRUSTED, _RESTRICTED, _QUARANTINED, _DISTRUSTED = Standing

# A disabled user is held, not distrusted: that word is for a compromised key, a forgery, a device retired or wiped.
KINDS: Final[Mapping[str, SignalKind]] = _registry(
    SignalKind("edr.suspicious", _R, _RESTRICTED, "edr", "the EDR finds the device suspicious"),
    SignalKind("edr.intrusion", _R, _QUARANTINED, "edr", "the EDR reports an intrusion on the device"),
    SignalKind("edr.contained", _R, _QUARANTINED, "edr", "the EDR has cut the device off"),
    SignalKind("edr.cleared", _C, _TRUSTED, "edr", "the EDR finds the device clean"),
    SignalKind("mdm.noncompliant", _R, _RESTRICTED, "mdm.compliance", "the MDM finds the device not compliant"),
    SignalKind("mdm.compliant", _C, _TRUSTED, "mdm.compliance", "the MDM finds the device compliant"),
    SignalKind("mdm.lost", _R, _QUARANTINED, "mdm.lost", "the device is reported lost or stolen"),
    SignalKind("mdm.found", _C, _TRUSTED, "mdm.lost", "the device was found"),
    SignalKind("mdm.retired", _R, _DISTRUSTED, "mdm.lifecycle", "the device was retired", 5),
    SignalKind("mdm.wiped", _R, _DISTRUSTED, "mdm.lifecycle", "the device was wiped", 5),
    SignalKind("mdm.reenrolled", _C, _TRUSTED, "mdm.lifecycle", "the device was enrolled anew"),
    SignalKind("idp.user_disabled", _R, _QUARANTINED, "idp.account", "the user was disabled"),
    SignalKind("idp.user_deleted", _R, _QUARANTINED, "idp.account", "the user was deleted"),
    SignalKind("idp.user_enabled", _C, _TRUSTED, "idp.account", "the user was enabled"),
    SignalKind("idp.user_at_risk", _R, _RESTRICTED, "idp.risk", "the identity provider finds the user at risk"),
    SignalKind("idp.risk_cleared", _C, _TRUSTED, "idp.risk", "the identity provider finds the user no longer at risk"),
    SignalKind(
        "idp.credential_compromised", _R, _QUARANTINED, "idp.credential", "the user's credential is compromised"
    ),
    SignalKind("idp.credential_reset", _C, _TRUSTED, "idp.credential", "the user's credential was reset"),
    SignalKind("network.anomaly", _R, _RESTRICTED, "network", "the network behaves as if the device were another"),
    SignalKind("network.cleared", _C, _TRUSTED, "network", "the network anomaly has an explanation"),
    SignalKind(
        "integrity.key_compromised", _R, _DISTRUSTED, "integrity.key", "the subject's private key is compromised", 1
    ),
    SignalKind("integrity.forgery", _R, _DISTRUSTED, "integrity.forgery", "a forged certificate names the subject"),
    SignalKind("generic.raised", _R, _RESTRICTED, "generic", "another system mistrusts the subject"),
    SignalKind("generic.cleared", _C, _TRUSTED, "generic", "another system trusts the subject again"),
)


def kind_named(name: str) -> SignalKind:
    """The kind of that name. Raises SignalError (``signal.kind_unknown``)."""
    found = KINDS.get(name)
    if found is None:
        raise SignalError(KIND_UNKNOWN, f"{name[:80]!r} is no kind of signal", kind=name[:80])
    return found


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a signal is about, in exactly one of three ways: its id, its kind and name, or a device's serial number."""

    id: UUID | None = None
    kind: str | None = None
    name: str | None = None
    device_serial: str | None = None

    def __post_init__(self) -> None:
        by_name = self.kind is not None and self.name is not None
        ways = (self.id is not None) + by_name + (self.device_serial is not None)
        if ways != 1 or (self.kind is None) != (self.name is None):
            raise ValueError("a subject is named by `id`, by `kind` and `name`, or by `device_serial`, and by one only")

    def __str__(self) -> str:
        if self.id is not None:
            return str(self.id)
        if self.device_serial is not None:
            return f"device with serial {self.device_serial}"
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Signal:
    """One event from one feed, as it arrived.

    Attributes:
        feed: who says it.
        message_id: the sender's own id of the message; (feed, message_id) is taken once.
        digest: SHA-256 of the message as received: the same id with another digest is refused.
        level: what the sender asks for when raising; never more than the feed is granted.
        cause: what is raised or cleared, within the feed: an alert id, or the kind's own key.
        observed_at: when the sender saw it; an older word never undoes a newer one.
        evidence: what the sender wants a person to read.
    """

    feed: str
    message_id: str
    digest: bytes
    kind: SignalKind
    whom: Whom
    effect: Effect
    level: Standing
    cause: str
    observed_at: datetime
    evidence: str


def signal(
    *,
    feed: str,
    message_id: str,
    digest: bytes,
    kind: str,
    whom: Whom,
    observed_at: datetime,
    now: datetime,
    effect: Effect | None = None,
    level: Standing | None = None,
    cause: str | None = None,
    evidence: str = "",
) -> Signal:
    """A signal with its kind's defaults filled in.

    Raises SignalError for an unknown kind or an observation from the future, ValueError for what a schema should
    have refused before (bounds, a naive time, a raise to *trusted*).
    """
    known = kind_named(kind)
    effect = effect or known.effect
    if level is None:
        level = known.level if effect is Effect.RAISE else Standing.TRUSTED
    if effect is Effect.RAISE and level is Standing.TRUSTED:
        raise ValueError("a raised cause asks for a level above `trusted`")
    if not message_id or len(message_id) > MAX_MESSAGE_ID:
        raise ValueError(f"a message id has 1 to {MAX_MESSAGE_ID} characters")
    if len(evidence) > MAX_EVIDENCE:
        raise ValueError(f"evidence has at most {MAX_EVIDENCE} characters")
    if cause is not None and not _CAUSE.match(cause):
        raise ValueError("a cause is 1 to 128 letters, digits and ._:/@- and starts with a letter or digit")
    if observed_at.tzinfo is None:
        raise ValueError("observed_at needs its offset from UTC")
    if observed_at > now + FUTURE_TOLERANCE:
        raise SignalError(OBSERVED_IN_FUTURE, f"observed_at is {observed_at.isoformat()}", kind=kind)
    return Signal(
        feed=feed,
        message_id=message_id,
        digest=digest,
        kind=known,
        whom=whom,
        effect=effect,
        level=level,
        cause=cause or known.cause,
        observed_at=observed_at,
        evidence=evidence,
    )
