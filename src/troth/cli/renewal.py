"""``troth renewal``: have certificates renewed early, and see how far that has come."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output, Propose, Serials, query, serials_in
from troth.cli.show import as_json, facts, listed, plain, when

app = App(name="renewal", help="Have certificates renewed early.", help_format="plaintext")
Note = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]


@app.command
def early(
    *,
    per_minute: Annotated[int | None, Parameter(help="How many certificates in a minute.", show_default=False)] = None,
    percent: Annotated[
        int | None, Parameter(help="Of acme.renewals_per_minute, in place of --per-minute.", show_default=False)
    ] = None,
    authority: str = "",
    profile: str = "",
    key_algorithm: Annotated[str, Parameter(help="Kind of the certificate's own key: rsa2048, p256 …")] = "",
    issued_after: Annotated[str, Parameter(help="ISO 8601 with its offset: 2026-11-01T00:00:00Z.")] = "",
    issued_before: Annotated[str, Parameter(help="As above.")] = "",
    serials: Serials = None,
    explanation_url: Annotated[str, Parameter(help="https page that tells the owners why.")] = "",
    note: Note = "",
    yes: Annotated[bool, Parameter(help="Do it. Without this, only what it would hit is shown.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Pull the renewal windows (ARI) of all that fit every option given into the past, some a minute."""
    body = {
        "per_minute": per_minute, "percent": percent, "authority": authority, "profile": profile,
        "key_algorithm": key_algorithm, "issued_after": issued_after or None, "issued_before": issued_before or None,
        "serials": serials_in(serials), "explanation_url": explanation_url, "note": note,
    }  # fmt: skip
    doing = yes or propose
    found = Api.at(data).post("/renewal-incidents", body, dry_run="false" if doing else "true", **query(propose))
    if output == "json":
        return as_json(found)
    if doing:
        print(f"Begun: incident {found['incident']}.")
        return 0
    for line in found["lines"]:
        print(plain(line))
    print("\nNothing was done. Add --yes to do it.")
    return 0


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List incidents, the latest first."""
    found = Api.at(data).get("/renewal-incidents")
    rows = [
        (one["id"], one["state"], _turns(one), one["renewed"], one["note"], when(one["started_at"])) for one in found
    ]
    return listed(found, output, ("id", "state", "turns", "renewed", "why", "begun"), rows, empty="No incident.")


@app.command
def show(incident: str, *, data: Data = None, output: Output = "text") -> int:
    """Show one incident."""
    return _told(Api.at(data).get(f"/renewal-incidents/{segment(incident)}"), output)


@app.command
def end(incident: str, *, note: Note = "", data: Data = None, output: Output = "text") -> int:
    """End an incident: whatever was not renewed has its usual window again."""
    return _told(Api.at(data).post(f"/renewal-incidents/{segment(incident)}/end", {"note": note}), output)


def _turns(one: dict[str, Any]) -> str:
    return f"{one['due']} of {one['total']}"


def _told(one: dict[str, Any], output: Output) -> int:
    if output == "json":
        return as_json(one)
    facts(
        [
            ("Incident", one["id"]),
            ("State", one["state"]),
            ("Certificates", ", ".join(f"{name} {value}" for name, value in one["selector"].items())),
            ("Turns", f"{_turns(one)} have come, {one['per_minute']} a minute"),
            ("Last turn", when(one["last_due"]) if one["last_due"] else None),
            ("Renewed", str(one["renewed"])),
            ("Note", one["note"] or None),
            ("Begun", f"{when(one['started_at'])} by {one['actor']}"),
            ("Ended", when(one["ended_at"]) if one["ended_at"] else None),
        ]
    )
    return 0
