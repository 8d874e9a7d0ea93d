"""Why the agent cannot do something."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

CONFIG = reason(
    "agent.config",
    "the agent's configuration is refused",
    fix="Mend what the message names; every key is in docs/agent.md.",
)
DISK = reason(
    "agent.disk",
    "a file could not be written or read",
    fix="Look at space, inodes and permissions of the place named; the agent left what was there before as it was.",
    status=507,
)
KEY_MISSING = reason(
    "agent.key.missing",
    "the key is not there",
    fix="The agent makes a new one for the next certificate; if a token or TPM was changed, put the old one back.",
    status=404,
)
KEY_KIND = reason(
    "agent.key.kind",
    "this place cannot hold a key of this kind",
    fix="Choose another `type` of key, or another place for it.",
)
KEY_STORE = reason(
    "agent.key.store",
    "the place where the key is held does not answer as it should",
    fix="The message names it; look at the token, its PIN file, or the TPM's device and permissions.",
    status=503,
)
KEY_STAYS = reason(
    "agent.key.stays",
    "the private key cannot leave the place where it is held",
    fix="Install `key` (a reference for OpenSSL's provider), or hold the key in a file.",
)
ATTESTATION_MISSING = reason(
    "agent.attestation.missing",
    "the TPM's attestation key is not certified yet",
    fix="Let the agent enrol it: name the attestation CA's URL, and register the TPM there (troth tpm register).",
    status=404,
)
ATTESTATION_REFUSED = reason(
    "agent.attestation.refused",
    "the attestation CA gave no certificate",
    fix="The message has its answer; its log and ledger say why. The agent tries again later.",
    status=503,
)


class AgentError(TrothError):
    """Something the agent could not do; what was there before is as it was."""


class KeyTrouble(AgentError):
    """A key is missing, unfit, or cannot be reached now."""
