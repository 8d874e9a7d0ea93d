"""Standing: where a subject is now, and the one table that says what that means at each moment.

The design holds this table in one place on purpose: a door that asked "is it quarantined?" and drew its own
conclusion would one day disagree with the next door. Doors, enforcement and the transmitter all ask
:func:`meaning`; nothing else decides it. Everything here is pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

from troth.kit.words import Word


@total_ordering
class Standing(Word):
    """How far a subject is trusted, from best to worst. ``max()`` of two standings is the stricter one.

    The value is the word used in the database, the API and the policy language.
    """

    TRUSTED = "trusted"
    RESTRICTED = "restricted"
    QUARANTINED = "quarantined"
    DISTRUSTED = "distrusted"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Standing):
            return NotImplemented
        return _ORDER[self] < _ORDER[other]

    def __str__(self) -> str:
        return self.value


_ORDER: dict[Standing, int] = {standing: place for place, standing in enumerate(Standing)}


class IssueRule(Enum):
    """What may be issued or renewed for a subject."""

    BY_POLICY = "by_policy"
    BY_POLICY_SHORTER = "by_policy_shorter"
    QUARANTINE_PROFILE_ONLY = "quarantine_profile_only"
    REFUSED = "refused"


class StatusRule(Enum):
    """What OCSP and CRL say of a subject's certificates."""

    GOOD = "good"
    HELD_BUT_FOR_QUARANTINE_PROFILES = "held_but_for_quarantine_profiles"
    REVOKED = "revoked"


class RadiusRule(Enum):
    """How a subject is met when it joins a network. Quarantine completes TLS, or the device could not heal."""

    PROFILE_BY_POLICY = "profile_by_policy"
    RESTRICTED_PROFILE = "restricted_profile"
    QUARANTINE_PROFILE = "quarantine_profile"
    REJECT = "reject"


class SharedSignal(Enum):
    """What others are told: the last part of the CAEP 1.0 event type URI."""

    RISK_LEVEL_CHANGE = "risk-level-change"
    DEVICE_COMPLIANCE_CHANGE = "device-compliance-change"
    SESSION_REVOKED = "session-revoked"
    CREDENTIAL_CHANGE = "credential-change"


class CertificateStatus(Enum):
    """The status that a certificate should have by standing alone; its own revocation may be stricter."""

    GOOD = "good"
    HELD = "held"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the standing table."""

    issue: IssueRule
    status: StatusRule
    radius: RadiusRule
    tell: tuple[SharedSignal, ...]

    def certificate_status(self, *, quarantine_profile: bool) -> CertificateStatus:
        """The status of one certificate of the subject, given whether its profile is a quarantine profile."""
        if self.status is StatusRule.REVOKED:
            return CertificateStatus.REVOKED
        if self.status is StatusRule.HELD_BUT_FOR_QUARANTINE_PROFILES and not quarantine_profile:
            return CertificateStatus.HELD
        return CertificateStatus.GOOD


_TABLE: dict[Standing, Meaning] = {
    Standing.TRUSTED: Meaning(IssueRule.BY_POLICY, StatusRule.GOOD, RadiusRule.PROFILE_BY_POLICY, ()),
    Standing.RESTRICTED: Meaning(
        IssueRule.BY_POLICY_SHORTER,
        StatusRule.GOOD,
        RadiusRule.RESTRICTED_PROFILE,
        (SharedSignal.RISK_LEVEL_CHANGE,),
    ),
    Standing.QUARANTINED: Meaning(
        IssueRule.QUARANTINE_PROFILE_ONLY,
        StatusRule.HELD_BUT_FOR_QUARANTINE_PROFILES,
        RadiusRule.QUARANTINE_PROFILE,
        (SharedSignal.DEVICE_COMPLIANCE_CHANGE, SharedSignal.SESSION_REVOKED),
    ),
    Standing.DISTRUSTED: Meaning(
        IssueRule.REFUSED,
        StatusRule.REVOKED,
        RadiusRule.REJECT,
        (SharedSignal.CREDENTIAL_CHANGE, SharedSignal.SESSION_REVOKED),
    ),
}


def meaning(standing: Standing) -> Meaning:
    """What ``standing`` means at each moment: issue and renew, answer status, let in, tell others."""
    return _TABLE[standing]


def strictest(*standings: Standing) -> Standing:
    """The strictest of ``standings``; trusted when there is none (no uncleared cause, no mistrust)."""
    return max(standings, default=Standing.TRUSTED)
