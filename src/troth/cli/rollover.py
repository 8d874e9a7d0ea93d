"""``troth rollover``: from one issuing authority to the next, stage by stage."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, table, when

app = App(name="rollover", help="From one issuing authority to the next, stage by stage.", help_format="plaintext")

Id = Annotated[str, Parameter(help="The rollover's id, as `troth rollover list` shows it.")]
Why = Annotated[str, Parameter(help="Why; at least ten characters. It stands in the ledger.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List rollovers, latest first."""
    found = Api.at(data).get("/rollovers")
    rows = [
        (one["id"], one["outgoing"], one["incoming"], one["stage"], when(one["changed_at"]), _short(one))
        for one in found
    ]
    head = ("rollover", "from", "to", "stage", "since", "next stage")
    return listed(found, output, head, rows, empty="No rollover. Begin one: troth rollover start OLD NEW")


@app.command
def start(
    outgoing: Annotated[str, Parameter(help="Short name of the authority that goes.")],
    incoming: Annotated[str, Parameter(help="Short name of the one that follows: planned or active.")],
    *,
    threshold: Annotated[int, Parameter(help="Per cent of trust stores that must know the new root.")] = 95,
    drain_days: Annotated[int, Parameter(help="Days within which the old one's certificates are renewed.")] = 30,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Begin a rollover; nothing changes for anybody yet."""
    body = {"outgoing": outgoing, "incoming": incoming, "threshold": threshold, "drain_days": drain_days}
    return _told(Api.at(data).post("/rollovers", body), output)


@app.command
def status(rollover: Id, *, data: Data = None, output: Output = "text") -> int:
    """Show where a rollover stands: what the next stage needs, what is seen, what is left of the old authority."""
    return _told(Api.at(data).get(f"/rollovers/{segment(rollover)}"), output)


@app.command
def attest(
    rollover: Id,
    percent: Annotated[int, Parameter(help="Per cent of trust stores that know the new root.")],
    *,
    reason: Why,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Vouch for what cannot be measured."""
    body = {"percent": percent, "reason": reason}
    return _told(Api.at(data).post(f"/rollovers/{segment(rollover)}/attest", body), output)


@app.command
def advance(
    rollover: Id,
    *,
    override: Annotated[str, Parameter(help="Go on although the gate is shut, and why: at least ten characters.")] = "",
    data: Data = None,
    output: Output = "text",
) -> int:
    """Go on to the next stage, if everything that it needs is there."""
    return _told(Api.at(data).post(f"/rollovers/{segment(rollover)}/advance", {"override": override}), output)


@app.command(name="back-out")
def back_out(rollover: Id, *, reason: Why, data: Data = None, output: Output = "text") -> int:
    """Go back to where it began: the old authority issues again. Possible until the old one is retired."""
    return _told(Api.at(data).post(f"/rollovers/{segment(rollover)}/back-out", {"reason": reason}), output)


def _told(one: dict[str, Any], output: str) -> int:
    if output == "json":
        return as_json(one)
    facts(
        [
            ("Rollover", one["id"]), ("From", one["outgoing"]), ("To", one["incoming"]), ("Stage", one["stage"]),
            ("Since", when(one["changed_at"])), ("Renew by", when(one["renew_by"]) if one["renew_by"] else None),
        ]
    )  # fmt: skip
    if one["next"] is None:
        return 0
    print(f"\nWhat {plain(one['next'])} needs:")
    rows = [("yes" if it["met"] else "NO", it["needs"], it["seen"]) for it in one["gate"]]
    table(("met", "needs", "seen"), rows, empty="Nothing.")
    print(f"\nLive certificates of {plain(one['outgoing'])}:")
    left = [(it["profile"], it["count"], when(it["first"]), when(it["last"])) for it in one["alive"]]
    table(("profile", "certificates", "first ends", "last ends"), left, empty="None.")
    return 0


def _short(one: dict[str, Any]) -> str | None:
    if one["next"] is None:
        return None
    unmet = sum(not it["met"] for it in one["gate"])
    return f"{one['next']}: {f'{unmet} conditions unmet' if unmet else 'ready'}"
