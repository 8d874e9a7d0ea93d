"""``troth restore``: from an archive to a CA that goes on, and what a person decides about what may be lost."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.backup import Identity, Passphrase, show, told
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, facts, plain, when
from troth.kit.errors import TrothError

app = App(name="restore", help="Restore an archive; decide what a restore may have lost.", help_format="plaintext")


@app.default
def restore(
    file: Annotated[Path, Parameter(help="The archive.")],
    *,
    identity: Identity = None,
    passphrase_file: Passphrase = None,
    tiles: Annotated[
        Path | None, Parameter(help="Directory the ledger was shipped to ([backup] tiles): replayed over the archive.")
    ] = None,
    checkpoint: Annotated[
        Path | None, Parameter(help="A checkpoint that was kept elsewhere; the ledger must extend it.")
    ] = None,
    last_crl: Annotated[
        tuple[Path, ...], Parameter(help="A CRL as last published; what it lists stays revoked.", negative="")
    ] = (),
    lost: Annotated[str, Parameter(help="What you know to be missing: closes the fence.", show_default=False)] = "",
    database_url: Annotated[
        str, Parameter(name="--database", help="An empty database to fill, in place of an embedded one.")
    ] = "",
    dry_run: Annotated[bool, Parameter(help="Only verify the archive and show what is in it.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Restore an archive as a new data directory, replay shipped tiles over it, and prove the result.

    Nothing that exists is overwritten. Where something may be missing the fence is closed: `troth restore status`.
    """
    from troth.assembly.layout import Layout, default_data_dir
    from troth.assembly.restoring import restore_into
    from troth.kit.clock import SystemClock
    from troth.ops.backup.read import readable_here, verify
    from troth.ops.backup.restore import Order
    from troth.ops.backup.sealing import Opener
    from troth.ops.backup.target import DirectoryTarget

    opener = Opener.of(identity, passphrase_file)
    if dry_run:
        verified = verify(file, opener)
        readable_here(verified.header)
        found = told(verified)
        if output == "json":
            return as_json(found)
        show(found)
        print("Nothing was written.", file=sys.stderr)
        return 0
    order = Order(
        archive=file,
        opener=opener,
        actor=f"local:{os.getuid()}",
        tiles=None if tiles is None else DirectoryTarget(tiles),
        witness=None if checkpoint is None else _read(checkpoint).decode(errors="replace"),
        last_crls=[_read(path) for path in last_crl],
        lost=lost,
    )
    where = Layout.at(data or default_data_dir()).root

    def progress(line: str) -> None:
        if output == "text":
            print(f"  {line}", file=sys.stderr)

    done = asyncio.run(restore_into(order, where, SystemClock(), database_url=database_url, progress=progress))
    answer: dict[str, Any] = {
        "data": str(where),
        "backup": told(done.verified),
        "ledger_size": done.ledger_size,
        "replayed": done.replayed.events,
        "rows": done.replayed.rows,
        "ledger": done.origin,
        "crl_numbers_above": done.crl_floors,
        "kept_from_crls": done.kept_from_crls,
        "fenced": done.fenced,
        "unknown_from": done.unknown_from.isoformat(),
        "unknown_until": done.unknown_until.isoformat(),
    }
    if output == "json":
        return as_json(answer)
    facts(
        [
            ("Restored", where),
            ("Ledger", f"{done.ledger_size} events, {done.replayed.events} of them from tiles, proved"),
            ("CRL numbers", "above " + plain(max(done.crl_floors.values(), default=0))),
            ("Fence", f"closed: {done.fenced}" if done.fenced else "open"),
        ]
    )
    print(f"Start it with: troth up --data {where}", file=sys.stderr)
    if done.fenced:
        print("Then decide: troth restore status, troth restore decide", file=sys.stderr)
    return 0


@app.command
def status(*, data: Data = None, output: Output = "text") -> int:
    """Say whether the fence is closed, and why."""
    return _tell(Api.at(data).get("/recovery"), output)


@app.command
def decide(
    *,
    resume: Annotated[
        Literal["accept-loss", "revoke-unknown"],
        Parameter(
            help="accept-loss: what is known is what there is. revoke-unknown: what was issued in the unknown "
            "interval is revoked."
        ),
    ],
    reason: Annotated[str, Parameter(help="Why; it goes to the ledger with your name.")],
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Open the fence."""
    return _tell(Api.at(data).post("/recovery/decide", {"resume": resume, "reason": reason}, **query(propose)), output)


def _tell(found: Any, output: Output) -> int:
    if output == "json":
        return as_json(found)
    facts(
        [
            ("Fence", found["state"]),
            ("Because", found["reason"]),
            ("Closed", when(found["closed_at"]) if found["closed_at"] else ""),
            ("Unknown from", when(found["unknown_from"]) if found["unknown_from"] else ""),
            ("Unknown until", when(found["unknown_until"]) if found["unknown_until"] else ""),
            ("Decided by", found["settled_by"]),
            ("Why", found["settled_why"]),
        ]
    )
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error.strerror}") from error
