"""The archive's shape: a gzipped tar, sealed, whose members are written and read one after the other.

    header.json                         what this is, readable before anything else
    db/<table>/<number>                 rows of one table in COPY's text format, in pieces
    files/<path in the data directory>  keys, secrets, configuration, state, notary
    manifest.json                       last: every member's digest, every table's columns and rows

No size is known beforehand and nothing is kept in memory but one piece. age authenticates every byte; the digests
are for whoever unpacks an archive by hand (``age --decrypt | tar xz``) and compares.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from troth.ops.backup.errors import DAMAGED, FORMAT, BackupRefused
from troth.ops.backup.sealing import Opener, opened

ARCHIVE_FORMAT = "troth-backup/1"
SUFFIX = ".troth"
PIECE = 4 << 20
_MEMBER = re.compile(
    r"(header\.json|manifest\.json|db/[a-z_0-9]+/\d{6}|files/[A-Za-z0-9._@+=-]+(/[A-Za-z0-9._@+=-]+){0,4})\Z"
)
_LARGEST_JSON = 16 << 20
_LARGEST_FILE = 256 << 20


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself first.

    Attributes:
        ledger_size, ledger_root: of the ledger in the database's snapshot; root in hexadecimal.
        notary_key: the verifier key of its checkpoints.
        checkpoint: the last one in the snapshot, or None.
        migrations: number → checksum of the schema that the rows are of.
        files: what lies beside the database, by path.
    """

    format: str
    troth: str
    created_at: datetime
    origin: str
    notary_key: str
    ledger_size: int
    ledger_root: str
    checkpoint: str | None
    postgres: str
    migrations: dict[int, str]
    certificates: int
    authorities: tuple[str, ...]
    files: tuple[str, ...]


class TableSummary(msgspec.Struct, frozen=True):
    """One table in the archive."""

    columns: tuple[str, ...]
    rows: int
    pieces: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself last."""

    format: str
    tables: dict[str, TableSummary]
    members: dict[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """One member as it is read."""

    name: str
    content: bytes


class Writer:
    """Writes members into a stream. Not safe for several threads at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._packed = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=3, mtime=0)
        self._tar = tarfile.open(mode="w|", fileobj=self._packed, format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.digests: dict[str, str] = {}

    def add(self, name: str, content: bytes, *, mode: int = 0o600) -> None:
        """One member."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        self._tar.addfile(entry, io.BytesIO(content))
        self.digests[name] = hashlib.sha256(content).hexdigest()

    def finish(self, tables: dict[str, TableSummary]) -> Manifest:
        """The manifest, and the end."""
        manifest = Manifest(format=ARCHIVE_FORMAT, tables=tables, members=dict(self.digests))
        self.add("manifest.json", msgspec.json.encode(manifest))
        self._tar.close()
        self._packed.close()
        return manifest


@contextmanager
def reading(path: Path, opener: Opener) -> Iterator[Iterator[Member]]:
    """The members of the archive in ``path`` in their order. Raises BackupRefused.

    Whoever reads to the end has an archive that is whole and as it was sealed; nothing read before may be acted on.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupRefused(DAMAGED, f"{path}: {error.strerror}") from error
    with file, opened(file, opener) as stream:
        yield _members(stream)


def _members(stream: IO[bytes]) -> Iterator[Member]:
    try:
        with tarfile.open(mode="r|gz", fileobj=stream) as tar:
            for entry in tar:
                if not entry.isfile() or not _MEMBER.match(entry.name) or ".." in entry.name.split("/"):
                    raise BackupRefused(DAMAGED, "a member that no backup of ours holds")
                if entry.size > _LARGEST_FILE:
                    raise BackupRefused(DAMAGED, f"{entry.name} is too large")
                content = tar.extractfile(entry)
                if content is None:
                    raise BackupRefused(DAMAGED, f"{entry.name} cannot be read")
                yield Member(entry.name, content.read())
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BackupRefused(DAMAGED, f"not the inside of a backup: {error}") from error


def header_of(member: Member) -> Header:
    """The header, if ``member`` is one that we can read. Raises BackupRefused."""
    if member.name != "header.json" or len(member.content) > _LARGEST_JSON:
        raise BackupRefused(DAMAGED, "it does not begin with a header")
    try:
        said = msgspec.json.decode(member.content, type=_Said)
        if said.format != ARCHIVE_FORMAT:
            raise BackupRefused(FORMAT, f"format {said.format}, made by Troth {said.troth}; this one reads "
                                        f"{ARCHIVE_FORMAT}")  # fmt: skip
        return msgspec.json.decode(member.content, type=Header)
    except msgspec.MsgspecError as error:
        raise BackupRefused(DAMAGED, f"the header cannot be read: {error}") from error


def manifest_of(member: Member) -> Manifest:
    """The manifest. Raises BackupRefused."""
    if member.name != "manifest.json" or len(member.content) > _LARGEST_JSON:
        raise BackupRefused(DAMAGED, "it does not end with a manifest")
    try:
        return msgspec.json.decode(member.content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupRefused(DAMAGED, f"the manifest cannot be read: {error}") from error


class _Said(msgspec.Struct, frozen=True):
    format: str
    troth: str = "?"
