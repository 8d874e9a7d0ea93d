"""What can be wrong with a signal, a feed or an order of enforcement."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

FEED_UNKNOWN = reason(
    "signal.feed_unknown",
    "there is no such feed",
    fix="List the feeds with `troth feed list`; define one under `feeds:` and apply it.",
    status=404,
)
FEED_INVALID = reason(
    "signal.feed_invalid",
    "the definition of this feed does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
KIND_UNKNOWN = reason(
    "signal.kind_unknown",
    "Troth knows no signal of this kind",
    fix="Use a kind of the list in docs/signals.md, such as edr.intrusion.",
    status=422,
)
KIND_NOT_GRANTED = reason(
    "signal.kind_not_granted",
    "this feed may not send signals of this kind",
    fix="Add the kind to the feed's `kinds` if it should.",
    status=403,
)
OUT_OF_SCOPE = reason(
    "signal.out_of_scope",
    "this feed may not speak of this subject",
    fix="Widen the feed's `scope` if it should.",
    status=403,
)
CLEAR_NOT_GRANTED = reason(
    "signal.clear_not_granted",
    "this feed may raise causes but not clear them",
    fix="Set `may_clear: true` on the feed, or let a person clear the cause.",
    status=403,
)
OBSERVED_IN_FUTURE = reason(
    "signal.observed_in_future",
    "the signal was observed later than now",
    fix="Set the sender's clock; a difference of five minutes is tolerated.",
    status=422,
)
MESSAGE_REUSED = reason(
    "signal.message_reused",
    "this message id was used before for another body",
    fix="Give each message its own id; repeat an id only to repeat the same message.",
    status=409,
)
UNREADABLE = reason(
    "signal.unreadable",
    "what was written down of this signal cannot be read any more",
    fix="Report it: a newer Troth must read what an older one has accepted.",
    status=500,
)
UNRESOLVED_GONE = reason(
    "signal.unresolved_gone",
    "there is no such unresolved signal",
    fix="List what is open with `troth signal unresolved`; somebody may have settled it.",
    status=404,
)
SUBJECT_UNKNOWN = reason(
    "signal.subject_unknown",
    "there is no such subject",
    fix="List the subjects with `troth subject list`.",
    status=404,
)
SUBJECT_PROTECTED = reason(
    "signal.subject_protected",
    "this subject is protected: it is alarmed about, never held",
    fix="Lift the protection first (`protected: false`, then apply), if this really must be.",
    status=409,
)
CAUSE_NOT_OPEN = reason(
    "signal.cause_not_open",
    "no such cause of yours is open for this subject",
    fix="A cause is cleared only by the feed or person that raised it; see the subject's causes.",
    status=409,
)
ACTION_UNKNOWN = reason(
    "signal.action_unknown",
    "there is no such staged action",
    fix="List the staged actions with `troth action list`.",
    status=404,
)
ACTION_SETTLED = reason(
    "signal.action_settled",
    "this staged action was approved, rejected or withdrawn before",
    fix="Nothing to do; the subject's timeline says who settled it.",
    status=409,
)


EXEMPTION_INVALID = reason(
    "signal.exemption_invalid",
    "this exemption cannot be granted",
    fix="Give a reason and 1 to 24 hours; if too many are exempt already, end some.",
    status=422,
)
EXEMPTION_UNKNOWN = reason(
    "signal.exemption_unknown",
    "no such exemption is in force",
    fix="List those in force with `troth exempt list`.",
    status=404,
)


class SignalError(TrothError):
    """A signal or an order that was refused; nothing was written."""


class FeedUnknown(SignalError):
    """No feed of that name."""


class FeedInvalid(SignalError):
    """A feed's definition was refused; ``facts`` holds the feed and the field."""


class NotGranted(SignalError):
    """The feed exceeds what it was granted."""


class MessageReused(SignalError):
    """One message id, two bodies."""


class SubjectUnknown(SignalError):
    """An order about a subject that does not exist."""


class SubjectProtected(SignalError):
    """An order to hold a protected subject."""


class CauseNotOpen(SignalError):
    """A person tried to clear what that person did not raise."""


class ExemptionRefused(SignalError):
    """An exemption that cannot be granted, or ended."""


class ActionUnknown(SignalError):
    """No staged action of that id."""


class ActionSettled(SignalError):
    """A staged action that is no longer pending."""
