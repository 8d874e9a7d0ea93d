"""``troth backup``: the whole installation in one sealed file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, when

if TYPE_CHECKING:
    from troth.ops.backup.read import Verified

app = App(name="backup", help="Sealed archives of the whole installation.", help_format="plaintext")

Passphrase = Annotated[
    Path | None, Parameter(name="--passphrase-file", help="File whose first line is the passphrase.")
]
Identity = Annotated[
    Path | None, Parameter(name="--identity", help="File of the age identity, as age-keygen writes it.")
]


@app.command
def create(
    *,
    to: Annotated[Path, Parameter(help="File to write, or a directory: the name is then made from the time.")],
    recipient: Annotated[
        tuple[str, ...], Parameter(help="age recipient who can open it. Default: [backup] recipients.", negative="")
    ] = (),
    passphrase_file: Passphrase = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Write database, keys, secrets and configuration to one encrypted file, and read it back.

    Troth may run meanwhile. The file holds the keys *and* the secrets that unwrap them: who opens it is the CA.
    """
    from troth.assembly.backing import database_running, source_of
    from troth.assembly.layout import Layout, default_data_dir
    from troth.kit import config as configuration
    from troth.kit.clock import SystemClock
    from troth.ops.backup.create import create as make
    from troth.ops.backup.sealing import Seal

    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)
    named = recipient or (() if passphrase_file is not None else config.backup.recipients)
    seal = Seal.of(named, passphrase_file)
    clock = SystemClock()

    async def run() -> Verified:
        async with database_running(layout, config, clock) as url:
            return await make(source_of(layout, url), to, seal, clock)

    return _tell(asyncio.run(run()), output, "Written and read back")


@app.command
def verify(
    file: Annotated[Path, Parameter(help="The archive.")],
    *,
    identity: Identity = None,
    passphrase_file: Passphrase = None,
    output: Output = "text",
) -> int:
    """Read an archive from end to end and compare every digest; writes nothing."""
    from troth.ops.backup.read import verify as read
    from troth.ops.backup.sealing import Opener

    return _tell(read(file, Opener.of(identity, passphrase_file)), output, "Whole and as it was sealed")


@app.command(name="list")
def list_(
    directory: Annotated[Path | None, Parameter(help="Directory of archives. Default: [backup] directory.")] = None,
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List the archives in a directory, newest first."""
    from troth.assembly.layout import Layout, default_data_dir
    from troth.kit import config as configuration
    from troth.ops.backup.keep import kept_in

    where = directory or Path(configuration.load(Layout.at(data or default_data_dir()).root).backup.directory or ".")
    found = [{"name": one.path.name, "made_at": one.made_at.isoformat(), "bytes": one.size} for one in kept_in(where)]
    rows = [(one["name"], when(str(one["made_at"])), one["bytes"]) for one in found]
    return listed(found, output, ("name", "made", "bytes"), rows, empty=f"No archive in {where}.")


@app.command
def prune(
    directory: Annotated[Path, Parameter(help="Directory of archives.")],
    *,
    keep: Annotated[int, Parameter(help="How many to keep.")],
    output: Output = "text",
) -> int:
    """Remove all but the newest archives of a directory; the newest always stays."""
    from troth.ops.backup.keep import drop_old

    dropped = [path.name for path in drop_old(directory, keep)]
    if output == "json":
        return as_json({"dropped": dropped})
    print(f"{len(dropped)} removed" + "".join(f"\n  {name}" for name in dropped))
    return 0


def told(verified: Verified) -> dict[str, object]:
    """An archive as JSON tells it."""
    header = verified.header
    return {
        "path": str(verified.path),
        "bytes": verified.size,
        "made_at": header.created_at.isoformat(),
        "troth": header.troth,
        "ledger": header.origin,
        "ledger_size": header.ledger_size,
        "checkpoint": header.checkpoint,
        "notary_key": header.notary_key,
        "certificates": header.certificates,
        "authorities": list(header.authorities),
        "tables": {name: table.rows for name, table in sorted(verified.manifest.tables.items())},
        "files": list(header.files),
    }


def _tell(verified: Verified, output: Output, words: str) -> int:
    found = told(verified)
    if output == "json":
        return as_json(found)
    show(found)
    print(f"{words}. It holds the keys and the secrets that unwrap them: keep it as you keep the CA.", file=sys.stderr)
    return 0


def show(found: dict[str, object]) -> None:
    """An archive for a person."""
    files = found["files"]
    facts(
        [
            ("Archive", found["path"]),
            ("Bytes", found["bytes"]),
            ("Made", when(str(found["made_at"]))),
            ("By Troth", found["troth"]),
            ("Ledger", f"{found['ledger_size']} events of {found['ledger']}"),
            ("Certificates", found["certificates"]),
            ("Authorities", found["authorities"]),
            ("Files", len(files) if isinstance(files, list) else 0),
        ]
    )
