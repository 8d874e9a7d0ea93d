"""What can be wrong with keys and with the files that hold them."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

KEY_UNKNOWN = reason(
    "keys.unknown",
    "no such key",
    fix="Ask the signer for its keys; a key id is never used twice.",
    status=404,
)
KEY_DAMAGED = reason(
    "keys.damaged",
    "a key file does not open",
    fix="Restore the file, or secrets/keystore.secret, from the backup: they belong together and neither is guessed.",
    status=503,
)
KEY_PURPOSE = reason(
    "keys.purpose",
    "the key is not meant for this",
    fix="Use a key that was made for the purpose.",
    status=403,
)
KEY_ATTACHED = reason(
    "keys.attached",
    "the key belongs to an authority already",
    fix="Make a new key for the new authority; the limits of a key are set once.",
    status=409,
)
KEY_STORE_IN_USE = reason(
    "keys.store_in_use",
    "another signer has this key store open",
    fix="Stop the other signer first: two would not know of each other's signatures.",
    status=409,
)
SECRET_UNSAFE = reason(
    "keys.secret_unsafe",
    "a secret file is missing, malformed or readable by others",
    fix="Restore the file with its owner and mode 0600, or make a new data directory.",
    status=503,
)
CUSTODIAN_UNKNOWN = reason(
    "keys.custodian_unknown",
    "there is no such custodian",
    fix="Name one of `[signer]` custodians, or `software`; a key stays with the custodian that made it.",
    status=404,
)
CUSTODIAN_SETTINGS = reason(
    "keys.custodian_settings",
    "a custodian is not set up in a way that can work",
    fix="See docs/keys.md for what each custodian needs; the signer starts without it.",
    status=503,
)
CUSTODIAN_EXTRA = reason(
    "keys.custodian_extra",
    "the library for this custodian is not installed",
    fix="Install Troth with the extra that the message names: hsm, aws, gcp or azure.",
    status=503,
)
CUSTODIAN_UNAVAILABLE = reason(
    "keys.custodian_unavailable",
    "the token or key service cannot be reached",
    fix="See that the token is plugged in or the service reachable; the signer tries again by itself.",
    status=503,
)
CUSTODIAN_TIMEOUT = reason(
    "keys.custodian_timeout",
    "the token or key service did not answer in time",
    fix="See how it is doing; the signer tries again by itself. What was to be signed then must be asked for anew.",
    status=503,
)
CUSTODIAN_BUSY = reason(
    "keys.custodian_busy",
    "the key service takes no more requests for now",
    fix="Wait, or have the service's quota raised; the signer tries again by itself.",
    status=503,
)
CUSTODIAN_DENIED = reason(
    "keys.custodian_denied",
    "the key service does not let the signer do this",
    fix="Grant the signer's identity what docs/keys.md lists, and nothing more.",
    status=503,
)
CUSTODIAN_ANSWER = reason(
    "keys.custodian_answer",
    "the token or key service answered with something that cannot be right",
    fix="Nothing of the answer was used. Look at the network and at the service before you try again.",
    status=503,
)
KEY_GONE = reason(
    "keys.gone",
    "the token or key service does not hold the key any more, or has disabled it",
    fix="Enable or restore the key there. If it is lost, its authority issues no more: roll over to a new one.",
    status=503,
)
KEY_CHANGED = reason(
    "keys.changed",
    "the token or key service holds another key under this name",
    fix="Nothing is signed with it. Find out who replaced it, and restore the key that the record names.",
    status=503,
)
KEY_ALGORITHM = reason(
    "keys.algorithm_unsupported",
    "this custodian does not make keys of that kind",
    fix="Choose another algorithm or custodian; `troth key list` shows what each can make.",
    status=409,
)
KEY_EVIDENCE = reason(
    "keys.evidence",
    "the token did not keep what was asked of a new key",
    fix="The key must be sensitive, never extractable and made inside the token; use a token that can promise it.",
    status=503,
)
PIN_REFUSED = reason(
    "keys.pin_refused",
    "the token does not accept the PIN",
    fix="Mend the PIN at its source; the same PIN is not tried again, so that the token does not lock itself.",
    status=503,
)
SEALED = reason(
    "signer.sealed",
    "the custodian of this key waits to be unsealed",
    fix="Unseal it with the shares of its PIN; until then its keys sign nothing, and the others go on.",
    status=503,
)


class KeyRefused(TrothError):
    """The key is unknown, or not meant for what was asked."""


class KeyUnavailable(TrothError):
    """The key exists and cannot be used now."""


class CustodianDown(KeyUnavailable):
    """The custodian itself cannot be used now, so none of its keys can; it is tried again after a pause."""


class SecretUnsafe(TrothError):
    """A secret file cannot be trusted, so nothing is started on it."""
