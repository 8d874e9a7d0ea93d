"""Why the agent cannot do something."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

CONFIG = reason(
    "agent.config",
    "the agent's configuration is refused",
    fix="Mend what the message names; every key is in docs/agent.md.",
)
STATE_BUSY = reason(
    "agent.state_busy",
    "the agent's directory cannot be held",
    fix="One agent works on a directory: stop the other one, or give this one a directory of its own.",
    status=409,
)
DISK = reason(
    "agent.disk",
    "a file could not be written or read",
    fix="Look at space, inodes and permissions of the place named; the agent left what was there before as it was.",
    status=507,
)
PLATFORM = reason(
    "agent.platform",
    "the agent does not do this on this system",
    fix="On Windows have the Task Scheduler run `troth agent once` (docs/agent.md); the rest needs Linux.",
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


IN_THE_WAY = reason(
    "agent.in_the_way",
    "a file that the agent did not write is where it should install",
    fix="Move it away, or say `copy = true` for that output to have it replaced.",
    status=409,
)
UNFIT = reason(
    "agent.unfit",
    "the certificate that came is not what was asked for",
    fix="Nothing was installed. Look at the issuer's profile, its `anchors` here, and this machine's clock.",
    status=502,
)
HOOK_FAILED = reason(
    "agent.hook_failed",
    "a program that the configuration names did not do its work",
    fix="Run it by hand; what it said last is in the message.",
    status=502,
)
NOT_SERVED = reason(
    "agent.not_served",
    "the service does not serve the new certificate",
    fix="The one before is back in place. See that `reload` reaches the service and that `prove` asks the right one.",
    status=502,
)
CHALLENGE = reason(
    "agent.challenge",
    "no proof that the server offers can be given here",
    fix="Set `challenge` to one that the server offers for this name, and see that its port or program can be had.",
    status=409,
)


ISSUER = reason(
    "agent.issuer",
    "what is needed to speak with the issuer is not there",
    fix="See the issuer's table of the configuration: files of `trust`, `anchors`, `directory_file`, `eab_key_file`.",
)


NO_PREVIOUS = reason(
    "agent.no_previous",
    "there is no certificate before this one",
    fix="Only the present certificate and the one before it are kept.",
    status=409,
)
NOT_DONE = reason(
    "agent.not_done",
    "what was asked of the agent could not be done now",
    fix="The message names the cause. The agent tries again by itself; `troth agent status` says when.",
    status=502,
)


STAPLE = reason(
    "agent.staple",
    "the OCSP answer cannot be stapled",
    fix="The one before stays while it holds. See that the responder runs and that both clocks are right.",
    status=502,
)
UNKNOWN_NAME = reason(
    "agent.unknown_name",
    "the configuration names no such certificate",
    fix="See `troth agent status`.",
    status=404,
)
CONTROL = reason(
    "agent.control",
    "the running agent gave no answer that can be understood",
    fix="Use the `troth` command of the agent's own version, as the user that it runs as.",
    status=502,
)


class AgentError(TrothError):
    """Something the agent could not do; what was there before is as it was."""


class KeyTrouble(AgentError):
    """A key is missing, unfit, or cannot be reached now."""
