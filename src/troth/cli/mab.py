"""``troth mab`` and ``troth pap``: devices without certificates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when

app = App(name="mab", help="Devices that may join a network by their address alone.", help_format="plaintext")
pap = App(name="pap", help="Accounts that may join a network with a password.", help_format="plaintext")

Note = Annotated[str, Parameter(help="Why; it stands in the ledger.")]
Until = Annotated[datetime | None, Parameter(help="When that ends, as 2027-01-31T12:00:00Z. Without: when removed.")]
Mac = Annotated[str, Parameter(help="Its address, in any usual spelling.")]
Name = Annotated[str, Parameter(help="Name of the account.")]


@app.command(name="list")
def list_addresses(*, data: Data = None, output: Output = "text") -> int:
    """List the devices."""
    found = Api.at(data).get("/network/addresses")
    rows = [(one["mac"], one["note"], _until(one), when(one["added_at"]), one["added_by"]) for one in found]
    return listed(found, output, ("mac", "why", "until", "added", "by"), rows, empty="No device is on the list.")


@app.command(name="add")
def add_address(mac: Mac, *, note: Note, until: Until = None, data: Data = None, output: Output = "text") -> int:
    """Let a device join by its address, where a network takes `mab`: never above the restricted place."""
    made = Api.at(data).post("/network/addresses", {"mac": mac, "note": note, "until": _text(until)})
    if output == "json":
        return as_json(made)
    print(f"{plain(made['mac'])} may join by its address alone, where a network takes mab.")
    return 0


@app.command(name="remove")
def remove_address(mac: Mac, *, data: Data = None) -> int:
    """Take a device off the list."""
    Api.at(data).delete(f"/network/addresses/{segment(mac)}")
    print(f"{plain(mac)} is off the list. A session that is open ends with its time.")
    return 0


@pap.command(name="list")
def list_accounts(*, data: Data = None, output: Output = "text") -> int:
    """List the accounts."""
    found = Api.at(data).get("/network/accounts")
    rows = [
        (one["name"], one["note"], "RadSec and UDP" if one["udp"] else "RadSec", _until(one), when(one["added_at"]),
         one["added_by"])
        for one in found
    ]  # fmt: skip
    return listed(found, output, ("name", "why", "told over", "until", "added", "by"), rows, empty="No account.")


@pap.command(name="add")
def add_account(
    name: Name,
    *,
    note: Note,
    udp: Annotated[bool, Parameter(help="Its password may be told outside RadSec too.", negative="")] = False,
    until: Until = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Make an account, or another password for it; the password is shown this once."""
    body = {"name": name, "note": note, "udp": udp, "until": _text(until)}
    made = Api.at(data).post("/network/accounts", body)
    if output == "json":
        return as_json(made)
    print(f"{plain(made['account']['name'])} may join with this password, shown this once: {made['password']}")
    return 0


@pap.command(name="remove")
def remove_account(name: Name, *, data: Data = None) -> int:
    """Forget an account."""
    Api.at(data).delete(f"/network/accounts/{segment(name)}")
    print(f"Account {plain(name)} is gone. A session that is open ends with its time.")
    return 0


def _until(one: dict[str, str | None]) -> str:
    return f"{when(one['until'])}{' (ended)' if one['ended'] else ''}" if one["until"] else "removed"


def _text(until: datetime | None) -> str | None:
    return (until if until.tzinfo else until.astimezone()).isoformat() if until is not None else None
