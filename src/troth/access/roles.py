"""What each role may do. One table, in code: a role cannot be widened by a row in a database."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that may be done. Every route of the admin API names exactly one."""

    STATUS_READ = "status.read"
    CERTIFICATE_READ = "certificate.read"
    CERTIFICATE_ISSUE = "certificate.issue"
    CERTIFICATE_HOLD = "certificate.hold"
    CERTIFICATE_REVOKE = "certificate.revoke"
    SUBJECT_READ = "subject.read"
    DECISION_READ = "decision.read"
    EVENT_READ = "event.read"
    STAGED_READ = "staged.read"
    STAGED_DECIDE = "staged.decide"
    POLICY_READ = "policy.read"
    PROFILE_READ = "profile.read"
    FEED_READ = "feed.read"
    APPLICATION_READ = "application.read"
    AUTHORITY_READ = "authority.read"
    LEDGER_READ = "ledger.read"
    LEDGER_EXPORT = "ledger.export"
    CONFIGURATION_APPLY = "configuration.apply"
    POLICY_WRITE = "policy.write"
    PROFILE_WRITE = "profile.write"
    FEED_WRITE = "feed.write"
    APPLICATION_MANAGE = "application.manage"
    ENFORCEMENT_FREEZE = "enforcement.freeze"
    ACCESS_MANAGE = "access.manage"
    ACCOUNT_OWN = "account.own"
    ENROLMENT_READ = "enrolment.read"
    ENROLMENT_MANAGE = "enrolment.manage"
    KEY_READ = "key.read"
    KEY_MANAGE = "key.manage"
    APPROVAL_READ = "approval.read"
    APPROVAL_DECIDE = "approval.decide"
    EFFECT_READ = "effect.read"
    EFFECT_MANAGE = "effect.manage"
    NETWORK_READ = "network.read"
    NETWORK_WRITE = "network.write"


class Role(StrEnum):
    """What a principal is."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"


_LOOK = frozenset(
    {
        Permission.STATUS_READ,
        Permission.CERTIFICATE_READ,
        Permission.SUBJECT_READ,
        Permission.DECISION_READ,
        Permission.EVENT_READ,
        Permission.STAGED_READ,
        Permission.POLICY_READ,
        Permission.PROFILE_READ,
        Permission.FEED_READ,
        Permission.APPLICATION_READ,
        Permission.AUTHORITY_READ,
        Permission.LEDGER_READ,
        Permission.ENROLMENT_READ,
        Permission.KEY_READ,
        Permission.ACCOUNT_OWN,
        Permission.APPROVAL_READ,
        Permission.EFFECT_READ,
        Permission.NETWORK_READ,
    }
)

#: Role → what it may do. The auditor alone (with the administrator) takes the ledger away; the operator runs the
#: day but writes no policy; the approver only decides what automation has staged and what people have proposed.
ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.OPERATOR: _LOOK
    | {
        Permission.CERTIFICATE_ISSUE,
        Permission.CERTIFICATE_HOLD,
        Permission.CERTIFICATE_REVOKE,
        Permission.CONFIGURATION_APPLY,
        Permission.STAGED_DECIDE,
        Permission.KEY_MANAGE,
        Permission.ENROLMENT_MANAGE,
        Permission.ENFORCEMENT_FREEZE,
        Permission.EFFECT_MANAGE,
    },
    Role.APPROVER: _LOOK | {Permission.STAGED_DECIDE, Permission.APPROVAL_DECIDE},
    Role.AUDITOR: _LOOK | {Permission.LEDGER_EXPORT},
}

#: One line for each role, shown wherever a role is chosen.
ROLE_WORDS: Mapping[Role, str] = {
    Role.ADMINISTRATOR: "everything, accounts and policies included",
    Role.OPERATOR: "issues, holds and revokes; applies directories; approves staged actions; no policies, no accounts",
    Role.APPROVER: "reads, and approves or rejects staged actions and proposals",
    Role.AUDITOR: "reads, and exports the ledger",
}
