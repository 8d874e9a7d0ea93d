"""``troth audit``: take the ledger away and prove it, with no trust in the server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.errors import FILE_EXISTS, UNREADABLE, UNWRITABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, plain, when
from troth.kit.errors import TrothError

if TYPE_CHECKING:
    from troth.audit.note import NoteKey
    from troth.audit.verify import Report

app = App(name="audit", help="The ledger.", help_format="plaintext")


@app.command
def export(*, out: Annotated[Path, Parameter(help="File to write; it must not exist.")], data: Data = None) -> int:
    """Write the whole ledger to a file that `troth audit verify` can prove."""
    lines = Api.at(data).lines("/audit/export")
    first = next(lines, b"")
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        why = FILE_EXISTS if isinstance(error, FileExistsError) else UNWRITABLE
        raise TrothError(why, f"{out}: {error}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(first)
        events = 0
        for line in lines:
            file.write(line)
            events += 1
    print(f"{events} events written to {out}")
    return 0


@app.command
def verify(
    file: Annotated[
        Path | None, Parameter(help="An export of `troth audit export`. Default: the database of the data directory.")
    ] = None,
    *,
    key: Annotated[
        str, Parameter(help="The notary's public key, NAME+HASH+KEY, known from elsewhere: a forger can name his own.")
    ] = "",
    data: Data = None,
    output: Output = "text",
) -> int:
    """Recompute the ledger's tree and compare it with every signed checkpoint; asks no server to say so.

    Without FILE the database is read directly, and the notary's own last checkpoint is held against it as well.
    """
    from troth.audit.note import NoteKey
    from troth.audit.verify import verify_export

    known = NoteKey.parse(key) if key else None
    if file is None:
        report, said = asyncio.run(_of_database(data, known))
    else:
        try:
            report = verify_export(file, key=known)
            with file.open(encoding="utf-8") as text:
                said = str(json.loads(text.readline())["key"])
        except (OSError, UnicodeDecodeError) as error:
            raise TrothError(UNREADABLE, f"{file}: {error}") from error
    if output == "json":
        as_json(
            {"proved": report.proved, "events": report.events, "signed": report.signed, "erased": report.erased,
             "faults": [{"index": index, "fault": fault} for index, fault in report.faults]}
        )  # fmt: skip
        return 0 if report.proved else 1
    for index, fault in report.faults:
        print(f"✗ {'' if index is None else f'event {index}: '}{plain(fault)}")
    if not report.proved:
        print("The ledger is NOT proved.")
        return 1
    unsigned = report.events - report.signed
    tail = f", the last {unsigned} not yet under a signed checkpoint" if unsigned else ""
    print(f"✓ {report.events} events, none changed, removed or moved{tail}.")
    if known is None:
        print(f"  Signed by {plain(said)}, as {'the data directory' if file is None else 'the export'} says.")
        print("  Give a key that you know from elsewhere with --key to prove who signed.")
    return 0


async def _of_database(data: Path | None, key: NoteKey | None) -> tuple[Report, str]:
    """Verify the log in the database itself, from the notary's files."""
    from troth.assembly.layout import Layout, default_data_dir
    from troth.assembly.postgres.server import url as embedded_url
    from troth.audit.store import LedgerStore
    from troth.audit.verify import verify_store
    from troth.kit import config
    from troth.kit.clock import SystemClock
    from troth.pki.signer.kept import read_kept
    from troth.store.pool import Database

    layout = Layout.at(data or default_data_dir())
    kept = read_kept(layout.root)
    url = config.load(layout.root).database.url or embedded_url(layout)
    database = await Database.open(url, clock=SystemClock(), max_connections=2)
    try:
        notes = [kept.note] if kept.note is not None else []
        return await verify_store(LedgerStore(database), key or kept.key, notes=notes), str(kept.key)
    finally:
        await database.close()


@app.command
def checkpoint(*, data: Data = None, output: Output = "text") -> int:
    """Print the latest signed checkpoint; keep a copy elsewhere (`troth audit checkpoint > FILE`)."""
    found = Api.at(data).get("/audit/checkpoint")
    if output == "json":
        return as_json(found)
    if found["note"]:
        print(found["note"], end="" if found["note"].endswith("\n") else "\n")
    # Beside it, not below it: what is written to a file must be the note alone, or nothing takes it for one.
    told = f"{found['size']} of {found['events']} events are under it"
    print(f"{told}; signed {when(found['signed_at'])}." if found["note"] else "None is signed yet.", file=sys.stderr)
    return 0


@app.command
def certificates(*, data: Data = None, output: Output = "text") -> int:
    """Hold every issued certificate against what the tables say of it, now. Exit code 1 when something does not fit."""
    from troth.cli.api import Api
    from troth.cli.show import as_json

    walked = Api.at(data).post("/inspections/audit")
    if output == "json":
        as_json(walked)
    else:
        print(f"{walked['looked']} certificates looked at, {walked['found']} with findings: troth audit findings")
    return 1 if walked["found"] else 0


@app.command
def findings(*, cleared: bool = False, limit: int = 100, data: Data = None, output: Output = "text") -> int:
    """What lint and audit have found in issued certificates, latest first."""
    from troth.cli.api import Api
    from troth.cli.show import listed, when

    found = Api.at(data).get("/findings", cleared="true" if cleared else "", limit=limit)
    rows = [(one["code"], one["object"], one["detail"], when(one["last_at"])) for one in found]
    return listed(found, output, ("code", "in", "where", "last seen"), rows, empty="Nothing was found.")
