"""``troth nas``: access servers, which may ask over RADIUS, and their secrets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE, UNWRITABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, facts, listed, plain, table, when
from troth.cli.verbs import apply as apply_documents
from troth.kit.errors import TrothError

app = App(name="nas", help="Access servers: who may ask over RADIUS, and their secrets.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the access server.")]
Brought = Annotated[
    Path | None, Parameter(help="File with a secret that you bring; - for standard input. Default: Troth makes one.")
]
Out = Annotated[Path | None, Parameter(help="Write the secret to this new file (0600) in place of the terminal.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List access servers: how each is, how far a new secret has come, and what is to be looked at."""
    found = Api.at(data).get("/network/nas")
    rows = [
        (one["name"], one["vendor"], one["addresses"], one["state"], _rotation(one), when(one["last_at"]),
         one["unsigned"] or "–", one["wrong"] or "–")
        for one in found
    ]  # fmt: skip
    head = ("name", "vendor", "addresses", "state", "new secret", "last asked", "unsigned", "wrong")
    return listed(
        found, output, head, rows, empty="No access server. Define some under `nas:`: troth nas apply -f FILE"
    )


@app.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show one access server: what was seen of each of its addresses."""
    api = Api.at(data)
    one, addresses = api.get(f"/network/nas/{segment(name)}"), api.get(f"/network/nas/{segment(name)}/addresses")
    if output == "json":
        return as_json({**one, "seen_addresses": addresses})
    facts(
        [("Name", one["name"]), ("Description", one["description"]), ("Equipment", one["vendor"]),
         ("Site", one["site"]), ("Addresses", one["addresses"]), ("State", one["state"]), ("Why", one["reason"]),
         ("Message-Authenticator", _required(one)), ("CoA", _coa(one)),
         ("Over TLS", one["radsec"]), ("Secrets", sorted(one["secrets"])), ("New secret", _rotation(one))]
    )  # fmt: skip
    for line in one["warnings"]:
        print(f"! {plain(line)}")
    print()
    rows = [
        ("all others" if seen["address"] == "*" else seen["address"], when(seen["last_at"]),
         {"current": "present", "next": "new", "": "none right"}[seen["secret"]], seen["unsigned"], seen["wrong"])
        for seen in addresses
    ]  # fmt: skip
    table(("address", "last asked", "secret", "unsigned", "wrong"), rows, empty="Nothing has asked yet.")
    return 0


@app.command
def apply(
    *,
    file: Annotated[
        tuple[Path, ...],
        Parameter(name=["--file", "-f"], help="YAML file, or - for standard input.", allow_leading_hyphen=True),
    ],
    dry_run: Annotated[bool, Parameter(help="Only show what would change.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Apply access servers; the same as `troth apply`."""
    return apply_documents(file=file, dry_run=dry_run, propose=propose, data=data, output=output)


@app.command
def secret(
    name: Name,
    *,
    file: Brought = None,
    out: Out = None,
    coa: Annotated[bool, Parameter(help="The one for CoA and Disconnect, if it is another.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Give it a secret from now on: its first one, or one in the place of one that has leaked."""
    return _secret(name, "set", file, out, coa=coa, propose=propose, data=data, output=output)


@app.command
def rotate(
    name: Name,
    *,
    file: Brought = None,
    out: Out = None,
    finish: Annotated[bool, Parameter(help="The new secret alone counts from now on.", negative="")] = False,
    abandon: Annotated[bool, Parameter(help="Forget the new secret; the present one stays.", negative="")] = False,
    force: Annotated[bool, Parameter(help="Finish though some address uses the former one.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Give it a new secret beside the present one; then change the equipment, and finish."""
    if not finish and not abandon:
        return _secret(name, "rotate", file, out, coa=False, propose=propose, data=data, output=output)
    api, path = Api.at(data), f"/network/nas/{segment(name)}"
    one = api.post(f"{path}/finish", {"force": force}) if finish else api.post(f"{path}/abandon")
    if output == "json":
        return as_json(one)
    print(f"Access server {plain(name)}: {'the new secret counts alone' if finish else 'the present secret stays'}.")
    return 0


@app.command
def snippet(
    name: Name,
    *,
    server: Annotated[str, Parameter(help="IP address by which it reaches Troth.")],
    auth_port: Annotated[int, Parameter(help="UDP port of authentication.")] = 1812,
    acct_port: Annotated[int, Parameter(help="UDP port of accounting.")] = 1813,
    data: Data = None,
) -> int:
    """Print what it must be configured with, in its vendor's words. The shared secret is for you to put in."""
    from troth.radius.places.snippets import snippet as written

    one = Api.at(data).get(f"/network/nas/{segment(name)}")
    print(written(one["vendor"], server=server, auth_port=auth_port, acct_port=acct_port), end="")
    return 0


@app.command
def retire(name: Name, *, reason: str, data: Data = None, output: Output = "text") -> int:
    """Answer it no longer, and forget its secrets. What is known of it stays."""
    one = Api.at(data).post(f"/network/nas/{segment(name)}/retire", {"note": reason})
    if output == "json":
        return as_json(one)
    print(f"Access server {plain(name)} is retired.")
    return 0


@app.command
def delete(name: Name, *, data: Data = None) -> int:
    """Forget an access server with its secrets."""
    Api.at(data).delete(f"/network/nas/{segment(name)}")
    print(f"Access server {plain(name)} is gone.")
    return 0


def _secret(
    name: str,
    how: str,
    file: Path | None,
    out: Path | None,
    *,
    coa: bool,
    propose: bool,
    data: Path | None,
    output: Output,
) -> int:
    brought = "" if file is None else _read(file)
    # Before anything is made: a secret that nobody can write down is lost, and the equipment with it.
    target = None if out is None else _created(out)
    try:
        made = Api.at(data).post(
            f"/network/nas/{segment(name)}/secret", {"how": how, "secret": brought, "coa": coa}, **query(propose)
        )
    except BaseException:
        if target is not None and out is not None:
            os.close(target)
            out.unlink()
        raise
    if target is not None:
        with os.fdopen(target, "w", encoding="utf-8") as written:
            written.write(f"{made['secret'] or brought.strip()}\n")
    if output == "json":
        return as_json({**made, "secret": "" if target is not None else made["secret"]})
    if target is not None:
        print(f"The secret of {plain(name)} is in {out}.")
    elif made["secret"]:
        print(f"The secret of {plain(name)}, shown this once: {plain(made['secret'])}")
    else:
        print(f"The secret of {plain(name)} is kept.")
    if how == "rotate":
        print(
            f"Both are good until `troth nas rotate {plain(name)} --finish`; `troth nas show` says who has the new one."
        )
    return 0


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error


def _created(out: Path) -> int:
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TrothError(UNWRITABLE, f"{out}: {error}") from error


def _rotation(one: Any) -> str:
    return f"{one['moved']} of {one['proved']} seen with it" if one["state"] == "rotating" else "–"


def _required(one: Any) -> str:
    rule = one["require_message_authenticator"]
    if rule == "auto":
        return "required, since it was seen to sign" if one["signs_since"] else "required once it is seen to sign"
    return {"yes": "required", "no": "not required"}[rule]


def _coa(one: Any) -> str:
    if not one["coa"]:
        return "not taken"
    return "taken, answers believed without Message-Authenticator" if one["coa_unsigned"] else "taken"
