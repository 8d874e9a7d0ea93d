"""``troth subject``: users, devices and workloads."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when

app = App(name="subject", help="Users, devices and workloads.", help_format="plaintext")


@app.command(name="list")
def list_(
    search: Annotated[str, Parameter(help="Beginning of a name.")] = "",
    *,
    standing: Literal["", "trusted", "restricted", "quarantined", "distrusted"] = "",
    kind: Literal["", "user", "device", "workload"] = "",
    cursor: str = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List subjects by name."""
    page = Api.at(data).get("/subjects", q=search, standing=standing, kind=kind, cursor=cursor, limit=limit)
    rows = [
        (one["name"], one["kind"], one["standing"], when(one["standing_since"]), one["owner"], one["certificates"])
        for one in page["items"]
    ]
    empty = "No subject. Tell Troth who there is: troth apply -f devices.yaml"
    return listed(page, output, ("name", "kind", "standing", "since", "owner", "certificates"), rows, empty=empty)


@app.command
def show(
    subject: Annotated[str, Parameter(help="Name, kind:name or identifier.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show a subject: where it stands, why, and what is known of it."""
    one = Api.at(data).get(f"/subjects/{segment(subject)}")
    if output == "json":
        return as_json(one)
    facts(
        [
            ("Name", f"{one['kind']} {one['name']}"),
            ("Standing", f"{one['standing']} since {when(one['standing_since'])}"),
            *(
                ("Because", f"{cause['cause']} ({cause['effect']}), raised by {cause['source']} "
                 f"{when(cause['raised_at'])}; cleared by {cause['clears']}")
                for cause in one["causes"]
            ),
            ("Protected", one["protected"] or None),
            ("Owner", one["owner"]),
            ("Groups", one["groups"]),
            ("Names", one["names"]),
            ("Certificates", one["certificates"]),
            ("Known from", one["origin"]),
            ("Identifier", one["id"]),
        ]
    )  # fmt: skip
    for fact in one["facts"]:
        stale = ", stale" if fact["stale"] else ""
        print(f"  {plain(fact['path'])} = {plain(fact['value'])}  ({plain(fact['source'])}, "
              f"{when(fact['observed_at'])}{stale})")  # fmt: skip
    return 0
