"""What can be wrong with a backup or a restore."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

RECIPIENTS = reason(
    "ops.backup.recipients",
    "a backup is always encrypted, and nobody was named who could open it",
    fix="Name age recipients with --recipient or [backup] recipients (`age-keygen` makes one), or give "
    "--passphrase-file. Keep the key away from this machine.",
)
IDENTITY = reason(
    "ops.backup.identity",
    "this key or passphrase does not open the archive",
    fix="Give the file of the age identity whose recipient the backup was made for (--identity), or the right "
    "--passphrase-file.",
    status=403,
)
DAMAGED = reason(
    "ops.backup.damaged",
    "the archive is damaged or was cut short",
    fix="Use another copy; `troth backup verify` tells a good one. Nothing was written.",
)
FORMAT = reason(
    "ops.backup.format",
    "this archive was made by another version of Troth",
    fix="Restore with the version that the archive names, or a newer one; then upgrade. Nothing was written.",
    status=409,
)
UNREADABLE = reason(
    "ops.backup.unreadable",
    "something that belongs into the backup cannot be read",
    fix="Run the backup as the user who owns the data directory (keys and secrets are closed to others).",
    status=500,
)
UNWRITABLE = reason(
    "ops.backup.unwritable",
    "the backup cannot be written there",
    fix="See that the place exists, has room, and is writable; what was begun was removed.",
    status=500,
)
NOT_EMPTY = reason(
    "ops.restore.not_empty",
    "a restore never overwrites anything",
    fix="Give an empty or new data directory; for an external database, an empty database.",
    status=409,
)
DATABASE = reason(
    "ops.restore.database",
    "the installation keeps its state in a database of its own, which a restore must fill",
    fix="Give the URL of an empty database with --database, and name it as `database.url` in troth.toml afterwards.",
    status=409,
)
TILES = reason(
    "ops.restore.tiles",
    "the shipped tiles do not continue this backup",
    fix="Give the tiles of the same installation with the identity that opens them. Without --tiles the restore goes "
    "on fenced.",
    status=409,
)
UNPROVED = reason(
    "ops.restore.unproved",
    "what was restored does not prove itself",
    fix="The ledger or the notary does not fit the rest. Use another backup; nothing was put in place.",
    status=500,
)
LAST_CRL = reason(
    "ops.restore.last_crl",
    "this is no CRL of an authority of this installation",
    fix="Give the last CRL that was published, DER or PEM, as fetched from its distribution point.",
)
SHIPPING = reason(
    "ops.shipping.target",
    "the ledger cannot be shipped to its second place",
    fix="See that the directory is mounted and writable. Meanwhile no checkpoint is signed; issuance goes on.",
    status=503,
)
SHIPPING_FOREIGN = reason(
    "ops.shipping.foreign",
    "the tiles in that place are not of this ledger",
    fix="Give each installation a place of its own. After a restore that named the ledger anew, ship to a new place.",
    status=409,
)


class BackupRefused(TrothError):
    """A backup cannot be made, opened or trusted."""


class RestoreRefused(TrothError):
    """A restore cannot be begun or does not prove itself."""


class ShippingFailed(TrothError):
    """Tiles cannot be written or read."""
