"""``troth staged``: actions of automation that wait for a person."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, listed, plain, when

app = App(name="staged", help="Actions that wait for a person.", help_format="plaintext")

Action = Annotated[str, Parameter(help="Identifier of the staged action.")]
Note = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List what waits, oldest first."""
    found = Api.at(data).get("/staged")
    rows = [
        (one["id"], one["subject"]["name"], one["subject"]["standing"], one["action"], one["certificates"], one["cap"],
         when(one["staged_at"]))
        for one in found
    ]  # fmt: skip
    head = ("id", "subject", "stands", "would be", "certificates", "because", "since")
    return listed(found, output, head, rows, empty="Nothing waits.")


@app.command
def approve(
    action: Action, *, note: Note = "", propose: Propose = False, data: Data = None, output: Output = "text"
) -> int:
    """Do it now."""
    return _decide(action, "approve", note, data, output, propose=propose)


@app.command
def reject(action: Action, *, note: Note = "", data: Data = None, output: Output = "text") -> int:
    """Drop it."""
    return _decide(action, "reject", note, data, output)


def _decide(action: str, verb: str, note: str, data: Data, output: Output, *, propose: bool = False) -> int:
    one = Api.at(data).post(f"/staged/{segment(action)}/{verb}", {"note": note}, **query(propose))
    if output == "json":
        return as_json(one)
    print(f"{one['state'].capitalize()}: {plain(one['subject']['name'])} stands {one['subject']['standing']}.")
    return 0
