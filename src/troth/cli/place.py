"""``troth place``: where a network puts whom it lets in, and what each vendor's equipment is told of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, table, when

app = App(name="place", help="Where a network puts whom it lets in.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the place.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the places, and what is lost of each on the equipment that there is."""
    found = Api.at(data).get("/network/places")
    rows = [(one["name"], one["summary"], [_lost(loss) for loss in one["losses"]], one["version"]) for one in found]
    head = ("name", "says", "lost", "version")
    return listed(found, output, head, rows, empty="No place. Define some under `places:`: troth apply -f places.yaml")


@app.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show a place."""
    one = Api.at(data).get(f"/network/places/{segment(name)}")
    if output == "json":
        return as_json(one)
    facts(
        [("Name", one["name"]), ("Description", one["description"]), ("Says", one["summary"]),
         ("Essential", one["essential"]), ("Version", one["version"]), ("Applied", when(one["applied_at"])),
         ("By", one["applied_by"])]
    )  # fmt: skip
    for rule in one["definition"].get("acl_rules", ()):
        print(f"  {plain(rule)}")
    for loss in one["losses"]:
        print(f"! {plain(loss['title'])}: {_lost(loss)}: {plain(loss['why'])}")
    return 0


@app.command
def render(
    name: Name,
    *,
    vendor: Annotated[str, Parameter(help="Whose equipment: see `troth place vendors`.")],
    medium: Annotated[Literal["wired", "wireless"] | None, Parameter(help="Where equipment has both.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print the attributes by which a vendor's equipment is told of a place. Exit code 1: it is rejected there."""
    chosen = {"vendor": vendor} | ({"medium": medium} if medium else {})
    found = Api.at(data).get(f"/network/places/{segment(name)}/render", **chosen)
    if output == "json":
        as_json(found)
    elif found["refused"]:
        print(f"Clients are rejected there: {plain(found['refused'])}")
    else:
        table(
            ("attribute", "value"), [(one["name"], one["value"]) for one in found["attributes"]],
            empty="Nothing: the equipment's own network.",
        )  # fmt: skip
        for loss in found["losses"]:
            print(f"! {_lost(loss)}: {plain(loss['why'])}")
    return 1 if found["refused"] else 0


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """Forget a place that no network leads to."""
    Api.at(data).delete(f"/network/places/{segment(name)}")
    print(f"Place {plain(name)} is gone.")
    return 0


@app.command
def vendors(
    name: Annotated[str, Parameter(help="One vendor in full; left out: all of them.")] = "",
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say what vendors' equipment can be told, how a session is changed or ended there, and what confirms it."""
    api = Api.at(data)
    if not name:
        found = api.get("/network/vendors")
        rows = [(one["name"], one["title"], one["says"], [step["step"] for step in one["steps"]]) for one in found]
        return listed(found, output, ("name", "equipment", "can be told", "steps"), rows, empty="")
    one = api.get(f"/network/vendors/{segment(name)}")
    return as_json(one) if output == "json" else _vendor(one)


@app.command
def snippet(
    vendor: Annotated[str, Parameter(help="Whose equipment: see `troth place vendors`.")],
    *,
    server: Annotated[str, Parameter(help="IP address by which the equipment reaches Troth.")],
    auth_port: Annotated[int, Parameter(help="UDP port of authentication.")] = 1812,
    acct_port: Annotated[int, Parameter(help="UDP port of accounting.")] = 1813,
) -> int:
    """Print what a vendor's equipment must be configured with. The shared secret is for you to put in."""
    from troth.radius.places.snippets import snippet as written

    print(written(vendor, server=server, auth_port=auth_port, acct_port=acct_port), end="")
    return 0


def _vendor(one: Any) -> int:
    moves = {None: "not documented", True: "yes", False: "no"}[one["change_vlan"]]
    facts(
        [("Name", one["name"]), ("Equipment", one["title"]), ("Can be told", one["says"]),
         ("VLAN by CoA", f"{moves}: {one['change_vlan_note']}"), ("Cached keys", one["caches_note"]),
         ("Not confirmed", one["unconfirmed"]), ("Notes", one["notes"])]
    )  # fmt: skip
    print()
    rows = [(step["step"], step["request"], step["port"] or "", step["keeps_link"]) for step in one["steps"]]
    table(("step", "request", "port", "link stays"), rows, empty="")
    print()
    for source, address in one["sources"].items():
        print(f"{plain(source)}: {plain(address)}")
    return 0


def _lost(loss: Any) -> str:
    ends = "rejected" if loss["refused"] else "left out"
    return f"{plain(loss['vendor'])} {plain(loss['field'])} ({ends})"
