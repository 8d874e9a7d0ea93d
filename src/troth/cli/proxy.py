"""``troth proxy``: other RADIUS servers that conversations are handed on to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when
from troth.cli.verbs import read

app = App(name="proxy", help="Other RADIUS servers that conversations are handed on to.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the pool.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the pools."""
    found = Api.at(data).get("/network/proxies")
    rows = [
        (one["name"], one["realms"], [server["address"] for server in one["servers"]],
         "keys alone" if one["foreign"] else "everything", _lacks(one))
        for one in found
    ]  # fmt: skip
    head = ("name", "realms", "servers", "their word counts for", "lacks secrets")
    return listed(found, output, head, rows, empty="No pool. Define some under `proxies:`: troth apply -f proxies.yaml")


@app.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show a pool."""
    one = Api.at(data).get(f"/network/proxies/{segment(name)}")
    if output == "json":
        return as_json(one)
    facts(
        [("Name", one["name"]), ("Realms", one["realms"]), ("Foreign", "yes" if one["foreign"] else "no"),
         ("Place", one["place"]), ("Version", one["version"]), ("Applied", when(one["applied_at"])),
         ("By", one["applied_by"])]
    )  # fmt: skip
    for server in one["servers"]:
        secret = "LACKS ITS SECRET" if server["lacks_secret"] else ""
        since = f"secret set {when(server['secret_set_at'])}" if server["secret_set_at"] else secret
        print(f"  {plain(server['address'])} {server['transport']} {since}".rstrip())
    return 0


@app.command
def secret(
    name: Name,
    *,
    server: Annotated[str, Parameter(help="HOST:PORT, as in the definition.")],
    file: Annotated[Path, Parameter(name=["--file", "-f"], help="Holds the secret; - for standard input.")],
    data: Data = None,
) -> int:
    """Hand over the secret that is shared with a server over UDP."""
    body = {"server": server, "secret": read(file).strip("\r\n")}
    Api.at(data).post(f"/network/proxies/{segment(name)}/secret", body)
    print(f"The secret of {plain(server)} is set.")
    return 0


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """Forget a pool and its secrets: its realms are decided here again."""
    Api.at(data).delete(f"/network/proxies/{segment(name)}")
    print(f"Pool {plain(name)} is gone.")
    return 0


def _lacks(one: dict[str, list[dict[str, str]]]) -> list[str]:
    return [server["address"] for server in one["servers"] if server["lacks_secret"]]
