"""``troth audit``: take the ledger away and prove it, with no trust in the server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.errors import FILE_EXISTS, UNREADABLE, UNWRITABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, plain, when
from troth.kit.errors import TrothError

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
    file: Annotated[Path, Parameter(help="An export of `troth audit export`.")],
    *,
    key: Annotated[
        str, Parameter(help="The notary's public key, NAME+HASH+KEY, known from elsewhere: a forger can name his own.")
    ] = "",
    output: Output = "text",
) -> int:
    """Prove an export offline: recompute the tree, and compare it with every signed checkpoint."""
    from troth.audit.note import NoteKey
    from troth.audit.verify import verify_export

    try:
        report = verify_export(file, key=NoteKey.parse(key) if key else None)
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
    if not key:
        with file.open(encoding="utf-8") as text:
            print(f"  The export names its own notary: {plain(json.loads(text.readline())['key'])}")
        print("  Give a key that you know from elsewhere with --key to prove who signed.")
    return 0


@app.command
def checkpoint(*, data: Data = None, output: Output = "text") -> int:
    """Print the latest signed checkpoint; keep a copy elsewhere."""
    found = Api.at(data).get("/audit/checkpoint")
    if output == "json":
        return as_json(found)
    if found["note"]:
        print(found["note"], end="" if found["note"].endswith("\n") else "\n")
    facts([("Events", found["events"]), ("Signed", found["size"]), ("At", when(found["signed_at"]))])
    return 0
