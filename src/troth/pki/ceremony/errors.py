"""What a ceremony refuses, each with its reason code."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

PLAN_MALFORMED = reason(
    "ceremony.plan.malformed",
    "the plan cannot be read",
    fix="Compare with docs/ceremonies.md; unknown fields are refused, so that a typo cannot change what is signed.",
)
PLAN_REFUSED = reason(
    "ceremony.plan.refused",
    "the plan asks for something that is not signed",
    fix="Change the plan, print its script anew, and have both read again before you run it.",
)
WINDOW = reason(
    "ceremony.window",
    "the clock of this machine is outside the plan's window",
    fix="Set the clock by a trusted watch, or make a plan for another day.",
)
INPUT = reason(
    "ceremony.input",
    "an input of the ceremony is missing or cannot be read",
    fix="Put the file where the plan says; paths are relative to the plan.",
)
OUTPUT_EXISTS = reason(
    "ceremony.output.exists",
    "the output directory exists already",
    fix="This ceremony has been held: nothing is ever overwritten. For another one make another plan.",
    status=409,
)
OUTPUT_UNWRITABLE = reason(
    "ceremony.output.unwritable",
    "the outputs cannot be written",
    fix="Make room and a directory that you may write to, and run the same plan again: it signs the same bytes.",
)
UNFINISHED = reason(
    "ceremony.unfinished",
    "another ceremony into the same directory was cut short",
    fix="Finish that one with its own plan first. If its key shall be given up, move its .partial directory away.",
    status=409,
)
PARENT = reason(
    "ceremony.parent",
    "the certificate does not fit below its issuer",
    fix="Hold the plan against the issuer's certificate: dates, path length, names and policies may only get narrower.",
)
KEY_OTHER = reason(
    "ceremony.key.other",
    "the key is not the one that the plan names",
    fix="Use the key file or token of the issuer whose certificate stands under inputs.",
)
KEY_FILE = reason(
    "ceremony.key.file",
    "the key file does not open",
    fix="Check that file, shares and passphrase belong together; the file was changed, or they are of another key.",
)
TOKEN_OTHER = reason(
    "ceremony.token.other",
    "this is not the token that the plan names",
    fix="Insert the token whose label and serial number stand in the plan.",
)
TOKEN_FAILED = reason(
    "ceremony.token.failed",
    "the token does not do what was asked",
    fix="Check module, token and PIN; then run the same plan again.",
    status=503,
)
EXTRA = reason(
    "ceremony.extra",
    "a library for ceremonies is missing",
    fix="Install Troth from its wheel with its dependencies on this machine.",
    status=503,
)
LINT = reason(
    "ceremony.lint",
    "what would be signed does not pass lint",
    fix="The findings name each rule; change the plan. Nothing was signed.",
)
NO_CONSENT = reason(
    "ceremony.no_consent",
    "the operator did not agree; nothing was signed",
    fix="Compare the digests again, and run the same plan: it has the same bytes signed.",
)
SIGNED_OTHER = reason(
    "ceremony.signed_other",
    "what was signed is not what was linted",
    fix="Keep everything as it is and call the auditor: key, token or program did not do what they were told.",
    status=500,
)
SHARE_WRONG = reason(
    "ceremony.share.wrong",
    "a share is wrong",
    fix="Have that custodian read the words again; each of the words matters, and their order.",
)
SHARE_MISSING = reason(
    "ceremony.share.missing",
    "there are not enough shares",
    fix="Ask the custodians of the groups named for theirs; until then the shares given tell nothing.",
)
SHARE_PLAN = reason(
    "ceremony.share.plan",
    "these custodians cannot be given shares in this way",
    fix="At least two persons must be needed; a custodian has one share; a group has 1 to 16 members.",
)
SHARE_SET = reason(
    "ceremony.share.set",
    "the list of shares cannot be read, or is of another secret",
    fix="Use the shares.json that was written together with these shares.",
)
IDENTITY = reason(
    "ceremony.share.identity",
    "an age file does not open",
    fix="Give the custodian's own identity file with --identity.",
)
TRANSCRIPT = reason(
    "ceremony.transcript",
    "the transcript is not proved",
    fix="Use the file as it was written by the ceremony; every octet of it counts.",
)
DRY_RUN = reason(
    "ceremony.dry_run",
    "this comes from a dry run",
    fix="Hold the ceremony itself; what a dry run signs, it signs with a key that nobody has.",
    status=409,
)
NOT_IMPORTED = reason(
    "ceremony.not_imported",
    "the results of this ceremony do not fit this installation",
    fix="Import where the issuer is known: a root's CRL where its root is, a certificate where its key was made.",
    status=409,
)


class PlanRefused(TrothError):
    """The plan, or what it names, is not what it must be."""


class CeremonyFailed(TrothError):
    """The ceremony stopped; what it had not finished does not exist."""


class SharesRefused(TrothError):
    """Shares are wrong, too few, or not to be made. ``facts["custodian"]`` names whose, where it is known."""


class TranscriptRefused(TrothError):
    """The transcript does not prove what it says."""
