"""What can be wrong with the ledger."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

SEQUENCER_BEHIND = reason(
    "audit.sequencer_behind",
    "the ledger's sequencer is not keeping up",
    fix="See that a worker process runs and that the database has room; the log says what it waits for.",
    status=503,
)
TAMPERED = reason(
    "audit.tampered",
    "the ledger is not what was signed",
    fix="Stop writing, keep the database as it is, and compare with a backup or a shipped checkpoint.",
    status=500,
)
BAD_EXPORT = reason(
    "audit.bad_export",
    "this file is not a ledger export",
    fix="Make one with 'troth audit export'.",
)
PROOF_INVALID = reason(
    "audit.proof_invalid",
    "a Merkle proof does not prove what it should",
    fix="Fetch the proof again for the checkpoint in hand; if it still fails, treat the ledger as changed.",
)
NOTE_INVALID = reason(
    "audit.note_invalid",
    "a signed note or checkpoint cannot be accepted",
    fix="Compare the verifier key with the one that was printed at first start; a note of another key proves nothing.",
)
FOLLOWER_OVERTAKEN = reason(
    "audit.follower_overtaken",
    "another process has read on in the ledger for the same purpose",
    fix="Nothing: it goes on from where the other one is.",
    status=409,
)


class LedgerTampered(TrothError):
    """Verification found a changed, missing or reordered entry."""


class BadExport(TrothError):
    """The export cannot be read."""


class ProofInvalid(TrothError):
    """An inclusion or consistency proof does not verify."""


class NoteInvalid(TrothError):
    """A signed note is malformed, or not signed by the key that was asked for."""


class FollowerOvertaken(TrothError):
    """Another process has taken the batch."""
