"""Making an archive: one snapshot of the database, then the files, sealed as they are read.

The order matters. The database first, in one repeatable-read view; the files after it. So every key that a row names
is among the files, and the notary's state and the signer's CRL numbers are no older than the rows: where they are
newer, a restore sees that the ledger was longer than this archive.

The archive is written beside its place, read back and compared in full with what was written, and only then named.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

import troth
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.ops.backup.archive import ARCHIVE_FORMAT, PIECE, SUFFIX, Header, TableSummary, Writer
from troth.ops.backup.coverage import LEFT_OUT
from troth.ops.backup.errors import DAMAGED, UNREADABLE, UNWRITABLE, BackupRefused
from troth.ops.backup.files import backed_up
from troth.ops.backup.read import Verified, verify
from troth.ops.backup.sealing import Seal, sealed
from troth.ops.backup.store import SourceStore
from troth.pki.keys.files import sync_directory
from troth.pki.signer.kept import read_kept
from troth.store.snapshot import Snapshot, Table, snapshot

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is backed up: a data directory and the database that belongs to it."""

    data: Path
    database_url: str
    origin: str


def default_name(at: datetime) -> str:
    """``troth-20260131T120000Z.troth``: names sort by time."""
    return f"troth-{at:%Y%m%dT%H%M%SZ}{SUFFIX}"


async def create(
    source: Source, to: Path, seal: Seal, clock: Clock, *, progress: Progress = lambda _line: None
) -> Verified:
    """Write an archive to the file ``to`` (or into that directory) and read it back.

    Raises BackupRefused, NotaryUnsafe, Unavailable; whatever it raises, nothing stands under the archive's name.
    """
    now = clock.now()
    path = await asyncio.to_thread(_place, to, now)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    both, witness = seal.witnessed()
    try:
        await _write(source, partial, both, now, progress)
        progress("reading it back")
        verified = await asyncio.to_thread(verify, partial, witness)
        await asyncio.to_thread(_name, partial, path)
    except OSError as error:
        raise BackupRefused(UNWRITABLE, f"{path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Verified(path, verified.size, verified.header, verified.manifest)


def _place(to: Path, at: datetime) -> Path:
    path = to / default_name(at) if to.is_dir() else to
    if path.exists():
        raise BackupRefused(UNWRITABLE, f"{path} exists")
    return path


def _name(partial: Path, path: Path) -> None:
    # A link, not a rename: it fails if someone else's archive has come to stand there.
    os.link(partial, path)
    partial.unlink()
    sync_directory(path.parent)


async def _write(source: Source, partial: Path, seal: Seal, now: datetime, progress: Progress) -> None:
    with await asyncio.to_thread(_open, partial) as file:
        with sealed(file, seal) as stream:
            writer = Writer(stream)
            async with snapshot(source.database_url) as view:
                header = await _header(source, view, now)
                await asyncio.to_thread(writer.add, "header.json", msgspec.json.encode(header))
                tables = {}
                for table in await view.tables():
                    if table.name not in LEFT_OUT:
                        progress(f"table {table.name}")
                        tables[table.name] = await _table(view, table, writer)
            progress("keys, secrets and configuration")
            await asyncio.to_thread(_files, source.data, writer)
            await asyncio.to_thread(writer.finish, tables)
        file.flush()
        os.fsync(file.fileno())


def _open(partial: Path) -> IO[bytes]:
    return os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


async def _header(source: Source, view: Snapshot, now: datetime) -> Header:
    store = SourceStore(view)
    size, root, _ = await store.head()
    try:
        kept = read_kept(source.data)
    except TrothError as error:
        raise BackupRefused(UNREADABLE, f"the notary's files: {error.detail}") from error
    return Header(
        format=ARCHIVE_FORMAT,
        troth=troth.__version__,
        created_at=now,
        origin=source.origin,
        notary_key=str(kept.key),
        ledger_size=size,
        ledger_root=root.hex(),
        checkpoint=await store.checkpoint(),
        postgres=await store.version(),
        migrations=await view.schema(),
        certificates=await store.certificates(),
        authorities=await store.authorities(),
        files=tuple(name for name, _, _ in backed_up(source.data)),
    )


async def _table(view: Snapshot, table: Table, writer: Writer) -> TableSummary:
    pieces = 0
    buffer = bytearray()

    async def flush() -> None:
        nonlocal pieces
        if buffer:
            await asyncio.to_thread(writer.add, f"db/{table.name}/{pieces:06}", bytes(buffer))
            pieces += 1
            buffer.clear()

    async def take(data: bytes) -> None:
        buffer.extend(data)
        if len(buffer) >= PIECE:
            await flush()

    rows = await view.copy_out(table, take)
    await flush()
    return TableSummary(table.columns, rows, pieces)


def _files(data: Path, writer: Writer) -> None:
    kept = 0
    for name, content, mode in backed_up(data):
        writer.add(f"files/{name}", content, mode=mode)
        kept += name == "notary.json" or name.startswith("secrets/")
    if kept < 2:
        raise BackupRefused(DAMAGED, "the notary's state or the secrets are missing; this would not restore")
