"""What can be wrong with subjects, facts, policies and decisions."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

# --- why a decision came out as it did -------------------------------------------------------------------------------

POLICY_CONDITIONS_MET = reason(
    "policy.conditions_met",
    "every condition of the rule was met",
    fix="",
    status=200,
)
POLICY_CONDITION_FALSE = reason(
    "policy.condition_false",
    "a condition of the rule was not met",
    fix="Change what the condition looks at; 'troth why' names it, the value seen and where it came from.",
    status=403,
)
POLICY_CONDITION_UNKNOWN = reason(
    "policy.condition_unknown",
    "a condition of the rule could not be answered",
    fix="Have the source report the missing or stale attribute; unknown is never taken for good.",
    status=403,
)
POLICY_FEED_DOWN = reason(
    "policy.feed_down",
    "a feed is late, so what it last said was taken for a bounded time",
    fix="Bring the feed back before the time that the policy allows has passed.",
    status=403,
)
POLICY_SELF_REPORTED = reason(
    "policy.self_reported",
    "a host's own word would have made the outcome milder than its silence",
    fix="Have somebody else report the attribute, or make the rule's 'else' no milder than its 'unknown'.",
    status=403,
)
POLICY_NO_RULE = reason(
    "policy.no_rule",
    "no rule of the policy matches the request, and what no rule allows is denied",
    fix="Add a rule whose 'match' covers this request, and apply the policy.",
    status=403,
)
POLICY_NO_POLICY = reason(
    "policy.no_policy",
    "no policy governs this profile, and what no policy allows is denied",
    fix="Apply a policy that lists the profile under 'profiles'.",
    status=403,
)
POLICY_STANDING = reason(
    "policy.standing",
    "the subject's standing allows less than the policy would",
    fix="Clear the causes of the standing; 'troth why' lists them.",
    status=403,
)

#: What a decision may give as its reason.
DECISION_REASONS = {
    one.code: one
    for one in (
        POLICY_CONDITIONS_MET, POLICY_CONDITION_FALSE, POLICY_CONDITION_UNKNOWN, POLICY_FEED_DOWN, POLICY_NO_RULE,
        POLICY_NO_POLICY, POLICY_SELF_REPORTED, POLICY_STANDING,
    )
}  # fmt: skip

# --- policy files ----------------------------------------------------------------------------------------------------

POLICY_MALFORMED = reason(
    "policy.malformed",
    "the policy file is not a policy",
    fix="Correct the file at the line named; docs/policies.md shows the grammar.",
)
POLICY_EXPRESSION = reason(
    "policy.expression",
    "an expression of the policy is not acceptable",
    fix="Correct the expression; docs/policies.md lists the attributes, their types and the functions.",
)
POLICY_CONFLICT = reason(
    "policy.conflict",
    "another policy already governs one of these profiles",
    fix="Let one policy govern a profile: add the rule to that policy, or take the profile out of one of them.",
    status=409,
)
POLICY_CHANGED = reason(
    "policy.changed_meanwhile",
    "somebody applied another version of this policy meanwhile",
    fix="Look at the difference again and repeat.",
    status=409,
)
POLICY_TESTS_FAILED = reason(
    "policy.tests_failed",
    "examples that are kept beside the policy come out otherwise than they say",
    fix="Mend the policy or its tests ('troth policy test'); or apply it with --force REASON, which the ledger keeps.",
    status=409,
)
REPLAY_BUSY = reason(
    "policy.replay_busy",
    "another policy is being replayed",
    fix="Wait until it has ended.",
    status=429,
)
POLICY_WOULD_LOSE = reason(
    "policy.would_lose",
    "more of the fleet would lose by this policy than is usual for one change",
    fix="Look at 'troth policy replay'; if it is what you want, apply it with --yes.",
    status=409,
)
POLICY_UNKNOWN = reason(
    "policy.not_found",
    "there is no such policy or version",
    fix="'troth policy list' shows the policies and their versions.",
    status=404,
)

JOURNAL_FULL = reason(
    "trust.journal.full",
    "more decisions wait for the disk than may",
    fix="Ask again in a moment; if it lasts, the disk under the data directory is too slow.",
    status=503,
)
JOURNAL_UNWRITABLE = reason(
    "trust.journal.unwritable",
    "the decision cannot be made durable, so nobody is let in on it",
    fix="Look at the disk under the data directory, and start Troth anew.",
    status=503,
)

# --- the standing document -------------------------------------------------------------------------------------------

STANDING_MALFORMED = reason(
    "standing.malformed",
    "the standing document cannot be taken",
    fix="Correct the file at the line named; docs/standing.md shows the fields.",
    status=422,
)
STANDING_CHANGED_MEANWHILE = reason(
    "standing.changed_meanwhile",
    "somebody applied another standing document meanwhile",
    fix="Look at the difference again and repeat.",
    status=409,
)

# --- subjects and the directory --------------------------------------------------------------------------------------

STANDING_CHANGED = reason(
    "trust.standing.changed",
    "the subject's standing changed while the request was under way",
    fix="Repeat the request; it is decided anew.",
    status=409,
)
SUBJECT_RACED = reason(
    "trust.subject.raced",
    "another request made the same subject, or took the same name, at the same moment",
    fix="Repeat the request.",
    status=409,
)
SUBJECT_NOT_FOUND = reason(
    "trust.subject.not_found",
    "there is no such subject",
    fix="Search for it by a part of its name: 'troth subject list NAME'.",
    status=404,
)
SUBJECT_NONE = reason(
    "trust.subject.none",
    "the request concerns no subject, so there is nobody to trust",
    fix="Name what the certificate is for.",
    status=403,
)
DECISION_NOT_FOUND = reason(
    "trust.decision.not_found",
    "there is no such decision",
    fix="'troth why' takes a certificate's serial number, a subject's name or a decision's id.",
    status=404,
)
DIRECTORY_MALFORMED = reason(
    "trust.directory.malformed",
    "the directory file cannot be taken",
    fix="Correct the file at the line named; docs/directory.md shows the fields.",
)
DIRECTORY_CHANGED = reason(
    "trust.directory.changed_meanwhile",
    "somebody applied this directory meanwhile",
    fix="Look at the difference again and repeat.",
    status=409,
)


class TrustError(TrothError):
    """A failure of the judge's floor."""


class JournalError(TrustError):
    """A decision that cannot be made durable."""


class PolicyError(TrustError):
    """A policy that cannot be taken. ``facts`` has ``file``, ``line`` and ``field`` where they are known."""


class RulesError(TrustError):
    """A standing document that cannot be taken. ``facts`` has ``file``, ``line`` and ``field``."""


class DirectoryError(TrustError):
    """A directory file that cannot be taken. ``facts`` has ``file``, ``line`` and ``field``."""


class Retryable(TrustError):
    """The state moved under the request; the same request, decided anew, may well succeed."""


class StandingChanged(Retryable):
    """A subject's standing is no longer the one that was judged."""
