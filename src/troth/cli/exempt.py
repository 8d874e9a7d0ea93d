"""``troth exempt``: for some hours, automation does not hold a subject."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when

app = App(name="exempt", help="Break glass: subjects that automation does not hold.", help_format="plaintext")


@app.command
def add(
    subject: Annotated[str, Parameter(help="Id, name, or kind:name.")],
    *,
    reason: Annotated[str, Parameter(help="Why; it goes to the ledger and to who has to agree.")],
    hours: Annotated[int, Parameter(help="For how long, 1 to 24.")] = 4,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Propose to exempt a subject; another person has to agree."""
    made = Api.at(data).post("/exemptions", {"subject": subject, "reason": reason, "hours": hours})
    return as_json(made) if output == "json" else 0


@app.command(name="list")
def list_(
    *,
    all: Annotated[bool, Parameter(help="Also what is over.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List exemptions in force."""
    found = Api.at(data).get("/exemptions", **({"all": "true"} if all else {}))
    rows = [
        (one["id"], one["subject"], one["state"], when(one["ends_at"]), one["used"], ", ".join(one["approved_by"]),
         one["reason"])
        for one in found
    ]  # fmt: skip
    head = ("id", "subject", "state", "ends", "used", "approved by", "reason")
    return listed(found, output, head, rows, empty="Nobody is exempt.")


@app.command
def end(
    exemption: Annotated[str, Parameter(help="Identifier, as `troth exempt list` shows it.")],
    *,
    data: Data = None,
) -> int:
    """End an exemption before its time."""
    Api.at(data).delete(f"/exemptions/{segment(exemption)}")
    print(f"Ended: {plain(exemption)}")
    return 0
