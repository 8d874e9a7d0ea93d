"""The registry of what a signal can say, and what it does unless the signal asks for less.

The first part of a kind's name is its *class of source* (``edr``, ``mdm``, ``idp``, ``network``, ``integrity``,
``generic``): within a class the worst word counts, across classes words add up (``scoring``), since two classes seldom
err together. A kind with a :class:`HardRule` is a fact that is not weighed: it acts at once, though never past a cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from troth.trust.standing import Standing

#: The class of source of a person's orders.
PERSON: Final = "person"


class Effect(Enum):
    """What a signal does to its cause."""

    RAISE = "raise"
    CLEAR = "clear"


class Shape(Enum):
    """How long a word weighs: an event decays, a level holds until superseded, cleared or expired, a lifecycle word is
    a fact that holds until it is taken back."""

    EVENT = "event"
    LEVEL = "level"
    LIFECYCLE = "lifecycle"


class HardRule(Enum):
    """Facts that are not weighed against anything: the standing that they ask for is the subject's at once."""

    USER_GONE = "user_gone"
    DEVICE_GONE = "device_gone"
    CONTAINED = "contained"
    KEY_COMPROMISED = "key_compromised"
    FORGERY = "forgery"
    ORDER = "order"

    @property
    def exemptible(self) -> bool:
        """Whether an exemption covers it: not proof that somebody else holds the key, and not a person's own order."""
        return self not in {HardRule.KEY_COMPROMISED, HardRule.FORGERY, HardRule.ORDER}


@dataclass(frozen=True, slots=True)
class SignalKind:
    """One kind of signal.

    Attributes:
        name: dotted, ``<class of source>.<what>``.
        effect: what it does unless the signal says otherwise.
        level: the standing its cause asks for when raised; for a kind that is weighed, the most it can lead to.
        cause: the cause key when the signal names none; a kind and the kind that clears it share it.
        summary: what it says, for people.
        revocation_reason: RFC 5280 reason for the revocation that a person may agree to; 9 is privilegeWithdrawn.
        shape: how long it weighs.
        severity, confidence: 0 to 100, how bad it is and how sure its source usually is, if the signal does not say.
        hard: the rule by which it acts without being weighed; None for a kind that is weighed.
    """

    name: str
    effect: Effect
    level: Standing
    cause: str
    summary: str
    revocation_reason: int = 9
    shape: Shape = Shape.LEVEL
    severity: int = 50
    confidence: int = 80
    hard: HardRule | None = None

    @property
    def source_class(self) -> str:
        """The class of source: the first part of the name."""
        return class_of(self.name)


def class_of(kind: str) -> str:
    """The class of source of a kind of that name; an order of a person has no kind."""
    return kind.partition(".")[0] if kind else PERSON


def _registry(*kinds: SignalKind) -> Mapping[str, SignalKind]:
    return {kind.name: kind for kind in kinds}


_TRUSTED, _RESTRICTED, _QUARANTINED, _DISTRUSTED = Standing


def _weighed(
    name: str, level: Standing, cause: str, weight: tuple[int, int], summary: str, shape: Shape = Shape.LEVEL
) -> SignalKind:
    severity, confidence = weight
    return SignalKind(name, Effect.RAISE, level, cause, summary, shape=shape, severity=severity, confidence=confidence)


def _event(name: str, level: Standing, cause: str, weight: tuple[int, int], summary: str) -> SignalKind:
    return _weighed(name, level, cause, weight, summary, Shape.EVENT)


def _fact(
    name: str, level: Standing, cause: str, hard: HardRule, summary: str, revocation_reason: int = 9
) -> SignalKind:
    return SignalKind(name, Effect.RAISE, level, cause, summary, revocation_reason, Shape.LIFECYCLE, 100, 100, hard)


def _clears(name: str, cause: str, summary: str) -> SignalKind:
    return SignalKind(name, Effect.CLEAR, _TRUSTED, cause, summary)


# A disabled user is held, not distrusted: that word is for a compromised key, a forgery, a device retired or wiped.
KINDS: Final[Mapping[str, SignalKind]] = _registry(
    _weighed("edr.suspicious", _RESTRICTED, "edr", (50, 80), "the EDR finds the device suspicious"),
    _weighed("edr.intrusion", _QUARANTINED, "edr", (90, 90), "the EDR reports an intrusion on the device"),
    _clears("edr.cleared", "edr", "the EDR finds the device clean"),
    _event("edr.alert", _QUARANTINED, "edr.alert", (70, 80), "the EDR raises an alert on the device"),
    _clears("edr.alert_closed", "edr.alert", "the EDR closes the alert"),
    _fact("edr.contained", _QUARANTINED, "edr.containment", HardRule.CONTAINED, "the EDR has cut the device off"),
    _clears("edr.containment_lifted", "edr.containment", "the EDR lets the device on the network again"),
    # Hygiene is not compromise: a poor score restricts, and only beside something else.
    _weighed("edr.score", _RESTRICTED, "edr.score", (40, 60), "the EDR finds the device poorly kept"),
    _clears("edr.score_recovered", "edr.score", "the EDR finds the device well kept"),
    _weighed("mdm.noncompliant", _RESTRICTED, "mdm.compliance", (45, 90), "the MDM finds the device not compliant"),
    _clears("mdm.compliant", "mdm.compliance", "the MDM finds the device compliant"),
    _weighed("mdm.threat_detected", _QUARANTINED, "mdm.threat", (80, 80), "the MDM reports a threat on the device"),
    _clears("mdm.threat_cleared", "mdm.threat", "the MDM reports no threat on the device"),
    _fact("mdm.lost", _QUARANTINED, "mdm.lost", HardRule.DEVICE_GONE, "the device is reported lost or stolen"),
    _clears("mdm.found", "mdm.lost", "the device was found"),
    _fact("mdm.retired", _DISTRUSTED, "mdm.lifecycle", HardRule.DEVICE_GONE, "the device was retired", 5),
    _fact("mdm.wiped", _DISTRUSTED, "mdm.lifecycle", HardRule.DEVICE_GONE, "the device was wiped", 5),
    _clears("mdm.reenrolled", "mdm.lifecycle", "the device was enrolled anew"),
    _fact("idp.user_disabled", _QUARANTINED, "idp.account", HardRule.USER_GONE, "the user was disabled"),
    _fact("idp.user_deleted", _QUARANTINED, "idp.account", HardRule.USER_GONE, "the user was deleted"),
    _clears("idp.user_enabled", "idp.account", "the user was enabled"),
    _weighed("idp.user_at_risk", _RESTRICTED, "idp.risk", (50, 80), "the identity provider finds the user at risk"),
    _clears("idp.risk_cleared", "idp.risk", "the identity provider finds the user no longer at risk"),
    _event("idp.risk_event", _QUARANTINED, "idp.risk_event", (50, 80), "something the user did looks risky"),
    _clears("idp.risk_event_dismissed", "idp.risk_event", "what looked risky has an explanation"),
    _weighed(
        "idp.credential_compromised", _QUARANTINED, "idp.credential", (85, 95), "the user's credential is compromised"
    ),
    _clears("idp.credential_reset", "idp.credential", "the user's credential was reset"),
    _event("idp.credential_change", _RESTRICTED, "idp.credential", (20, 80), "the user's credential changed"),
    _event("idp.sessions_revoked", _RESTRICTED, "idp.sessions", (30, 80), "the user's sessions were revoked"),
    _clears("idp.sessions_established", "idp.sessions", "the user has signed in anew"),
    _weighed("idp.assurance_lowered", _RESTRICTED, "idp.assurance", (40, 90), "the user is less surely who it says"),
    _clears("idp.assurance_raised", "idp.assurance", "the user is surely who it says again"),
    _weighed(
        "network.anomaly", _RESTRICTED, "network", (50, 75), "the network behaves as if the device were another"
    ),
    _clears("network.cleared", "network", "the network anomaly has an explanation"),
    _fact(
        "integrity.key_compromised", _DISTRUSTED, "integrity.key", HardRule.KEY_COMPROMISED,
        "the subject's private key is compromised", 1,
    ),
    _fact(
        "integrity.forgery", _DISTRUSTED, "integrity.forgery", HardRule.FORGERY,
        "a forged certificate names the subject",
    ),
    _weighed("generic.raised", _RESTRICTED, "generic", (50, 80), "another system mistrusts the subject"),
    _clears("generic.cleared", "generic", "another system trusts the subject again"),
)  # fmt: skip

#: How severe a word is whose sender names a level and no severity: enough for that level, whatever the kind's own.
SEVERITY_OF: Final[Mapping[Standing, int]] = {
    Standing.TRUSTED: 0,
    Standing.RESTRICTED: 50,
    Standing.QUARANTINED: 90,
    Standing.DISTRUSTED: 100,
}
