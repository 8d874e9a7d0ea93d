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


class KeyRefused(TrothError):
    """The key is unknown, or not meant for what was asked."""


class KeyUnavailable(TrothError):
    """The key exists and cannot be used now."""


class SecretUnsafe(TrothError):
    """A secret file cannot be trusted, so nothing is started on it."""
