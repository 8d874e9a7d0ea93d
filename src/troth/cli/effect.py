"""``troth effect``: what changes of standing set going elsewhere, and what did not work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="effect", help="What follows elsewhere from changes of standing.", help_format="plaintext")

Effect = Annotated[str, Parameter(help="Identifier of the effect.")]
Reason = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]
State = Literal["waiting", "done", "dead", "superseded", "unavailable", "dropped"]


@app.command(name="list")
def list_(
    *,
    state: Annotated[State | None, Parameter(help="Only those in this state.")] = None,
    target: Annotated[str, Parameter(help="Only those at this target.")] = "",
    subject: Annotated[str, Parameter(help="Only those about the subject of this identifier.")] = "",
    cursor: Annotated[str, Parameter(help="Go on behind this one.")] = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List effects, the newest first."""
    asked = {"status": state or "", "target": target, "subject": subject, "cursor": cursor, "limit": str(limit)}
    found = Api.at(data).get("/effects", **{name: value for name, value in asked.items() if value})
    rows = [
        (one["id"], one["subject"], _standing(one) or one["subject_kind"], one["port"], one["target"], one["state"],
         _latency(one["latency_ms"]), one["detail"][:60])
        for one in found["items"]
    ]  # fmt: skip
    head = ("id", "subject", "standing", "effect", "target", "state", "after", "how it went")
    return listed(found, output, head, rows, empty="No effects.")


@app.command
def show(effect: Effect, *, data: Data = None, output: Output = "text") -> int:
    """Show one effect."""
    one = Api.at(data).get(f"/effects/{segment(effect)}")
    if output == "json":
        return as_json(one)
    facts(
        [
            ("effect", f"{one['port']}: {one['does']}"), ("target", one["target"]), ("state", one["state"]),
            ("subject", f"{one['subject_kind']} {one['subject']}, {_standing(one) or one['says']}"),
            ("because of", one["actor"]), ("signal", one["signal_id"]), ("accepted", when(one["accepted_at"])),
            ("ended", when(one["ended_at"]) if one["ended_at"] else None),
            ("after", _latency(one["latency_ms"])), ("next try", None if one["ended_at"] else when(one["due"])),
            ("tries", one["attempts"]), ("how it went", one["detail"]), ("taken back by", one["takes_back"]),
        ]
    )  # fmt: skip
    return 0


@app.command
def retry(effect: Effect, *, reason: Reason = "", data: Data = None, output: Output = "text") -> int:
    """Try what ended without success again."""
    return _decide(effect, "retry", reason, data, output)


@app.command
def drop(effect: Effect, *, reason: Reason, data: Data = None, output: Output = "text") -> int:
    """Give an effect up; one that is on its way may have been done all the same."""
    return _decide(effect, "drop", reason, data, output)


def _standing(one: Any) -> str:
    """Empty of an alarm, which is about nobody's."""
    return f"{one['before']} → {one['after']}" if one["before"] else ""


def _decide(effect: str, verb: str, reason: str, data: Data, output: Output) -> int:
    one = Api.at(data).post(f"/effects/{segment(effect)}/{verb}", {"reason": reason})
    if output == "json":
        return as_json(one)
    print(f"{plain(one['port'])} at {plain(one['target'])} is {one['state']}.")
    return 0


@app.command
def targets(*, data: Data = None, output: Output = "text") -> int:
    """List where effects go, and how it is there."""
    found = Api.at(data).get("/effect-targets")
    rows = [
        (one["name"], one["kind"], one["state"], one["waiting"], one["done"], one["dead"], one["unavailable"],
         when(one["secret_since"]), one["last_error"][:60])
        for one in found
    ]  # fmt: skip
    head = ("target", "kind", "state", "waiting", "done", "dead", "unavailable", "secret since", "latest error")
    return listed(found, output, head, rows, empty="No target. Name some under targets: and apply reactions.")


@app.command
def latencies(*, data: Data = None, output: Output = "text") -> int:
    """Say how soon effects were done, from the signal accepted, in the last day."""
    found = Api.at(data).get("/effect-latencies")
    rows = [(one["port"], one["number"], f"{one['p50_ms']} ms", f"{one['p99_ms']} ms") for one in found]
    return listed(found, output, ("effect", "number", "half within", "99 % within"), rows, empty="Nothing was done.")


@app.command
def secret(
    target: Annotated[str, Parameter(help="Name of the target.")],
    *,
    file: Annotated[
        Path | None, Parameter(help="File with the secret, or - for standard input. None: a webhook's is made.")
    ] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Give a target its secret: a webhook's key, a mail account's password, a chat room's address."""
    given = None if file is None else _read(file)
    made = Api.at(data).post(f"/effect-targets/{segment(target)}/secret", {"secret": given})
    if output == "json":
        return as_json(made)
    print(made["secret"] or f"The secret of {plain(target)} is set.")
    return 0


@app.command
def reactions(*, data: Data = None, output: Output = "text") -> int:
    """Print the document of reactions in force."""
    found = Api.at(data).get("/reactions")
    if output == "json":
        return as_json(found)
    print(found["text"], end="")
    return 0


def _latency(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else f"{milliseconds} ms"


def _read(file: Path) -> str:
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error
