"""Reading an archive back: that it can be opened, is whole, and holds what its manifest says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from troth.ops.backup.archive import Header, Manifest, header_of, manifest_of, reading
from troth.ops.backup.errors import DAMAGED, FORMAT, BackupRefused
from troth.ops.backup.sealing import Opener
from troth.store.migrate import migrations


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive that was read from end to end.

    Attributes:
        size: bytes of the file.
    """

    path: Path
    size: int
    header: Header
    manifest: Manifest


def verify(path: Path, opener: Opener) -> Verified:
    """Open ``path``, read all of it and compare every digest. Raises BackupRefused; writes nothing."""
    digests: dict[str, str] = {}
    pieces: dict[str, int] = {}
    header: Header | None = None
    manifest: Manifest | None = None
    with reading(path, opener) as members:
        for member in members:
            if manifest is not None:
                raise BackupRefused(DAMAGED, "something follows the manifest")
            if header is None:
                header = header_of(member)
            elif member.name == "manifest.json":
                manifest = manifest_of(member)
                continue
            if member.name in digests:
                raise BackupRefused(DAMAGED, f"{member.name} is there twice")
            digests[member.name] = hashlib.sha256(member.content).hexdigest()
            if member.name.startswith("db/"):
                table = member.name.split("/")[1]
                pieces[table] = pieces.get(table, 0) + 1
    if header is None or manifest is None:
        raise BackupRefused(DAMAGED, "it ends before its manifest")
    if digests != manifest.members:
        wrong = sorted(name for name in digests.keys() | manifest.members.keys()
                       if digests.get(name) != manifest.members.get(name))  # fmt: skip
        raise BackupRefused(DAMAGED, f"not as the manifest says: {', '.join(wrong[:5])}")
    if any(pieces.get(name, 0) != table.pieces for name, table in manifest.tables.items()):
        raise BackupRefused(DAMAGED, "rows are missing")
    return Verified(path, path.stat().st_size, header, manifest)


def readable_here(header: Header) -> int:
    """The migration to fill. Raises BackupRefused unless this program ships every migration the rows are of."""
    ours = {migration.number: migration.sha256 for migration in migrations()}
    strange = sorted(number for number, digest in header.migrations.items() if ours.get(number) != digest)
    if strange:
        raise BackupRefused(FORMAT, f"its schema has migration {strange[0]:04}, which this version does not know "
                                    f"(made by Troth {header.troth})")  # fmt: skip
    return max(header.migrations, default=0)
