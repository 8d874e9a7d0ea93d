"""``troth feed``: who may tell Troth that something is wrong."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, listed, plain, when

app = App(name="feed", help="Sources of signals.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the feed.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List feeds and what they are granted."""
    found = Api.at(data).get("/feeds")
    rows = [
        (one["name"], one["state"], one["health"], when(one["heard_at"]), one["kinds"], one["scope"],
         one["greatest_effect"], one["may_clear"], _in_force(one["rollout"]), when(one["last_signal_at"]))
        for one in found
    ]  # fmt: skip
    head = (
        "name", "state", "health", "heard", "signals", "scope", "greatest effect", "may clear", "in force",
        "last signal",
    )  # fmt: skip
    return listed(found, output, head, rows, empty="No feed. Grant one: troth apply -f feeds.yaml")


def _in_force(rollout: dict[str, int]) -> str:
    """For how many of the subjects, by kind where that differs."""
    if not rollout:
        return "for all"
    told = (f"{'' if kind == '*' else f'{kind} '}{percent} %" for kind, percent in sorted(rollout.items()))
    return ", ".join(told)


@app.command
def secret(
    name: Name,
    *,
    leaked: Annotated[bool, Parameter(help="The former secret stops at once, not in 24 hours.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Change a feed's webhook secret; the new one is printed this once."""
    made = Api.at(data).post(f"/feeds/{segment(name)}/secret", {"leaked": leaked}, **query(propose))
    if output == "json":
        return as_json(made)
    print(made["secret"])
    return 0


@app.command
def suspend(name: Name, *, reason: str, data: Data = None, output: Output = "text") -> int:
    """Record the feed's signals, and stage what they ask for."""
    return _set(name, "suspend", reason, data, output)


@app.command
def resume(
    name: Name, *, reason: str = "", propose: Propose = False, data: Data = None, output: Output = "text"
) -> int:
    """Let the feed act again, within its cap."""
    return _set(name, "resume", reason, data, output, propose=propose)


Stage = Annotated[Literal["shadow", "5", "25", "100"], Parameter(help="Only watched, or per cent of the subjects.")]


@app.command
def rollout(
    name: Name,
    stage: Stage,
    *,
    kind: Annotated[str, Parameter(help="One kind, a class such as edr.*, or * for all.")] = "*",
    reason: Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)] = "",
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Let a feed's words be in force for more of the subjects, or only be watched."""
    body = {"stage": stage, "kind": kind, "reason": reason}
    found = Api.at(data).post(f"/feeds/{segment(name)}/rollout", body, **query(propose))
    if output == "json":
        return as_json(found)
    for what, percent in sorted(found["rollout"].items()):
        print(f"{plain(what)}: {f'{percent} %' if percent else 'only watched'}")
    return 0


@app.command
def shadow(
    name: Name,
    *,
    days: Annotated[int, Parameter(help="How far back, at most 90.")] = 7,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Tell what a feed would have done where it is only watched."""
    found = Api.at(data).get(f"/feeds/{segment(name)}/shadow", days=str(days))
    if output == "json":
        return as_json(found)
    for one in found["lines"]:
        print(
            f"{plain(one['kind'])}: {one['subjects']} subjects would be {one['standing']}, last {when(one['latest'])}"
        )
    for line in found["latest"][:20]:
        print(f"  {plain(line)}")
    print(f"In its busiest window {found['busiest']} subjects; its cap lets it restrict {found['allowed']}.")
    return 0


def _set(name: str, verb: str, reason: str, data: Data, output: Output, *, propose: bool = False) -> int:
    found = Api.at(data).post(f"/feeds/{segment(name)}/{verb}", {"note": reason}, **query(propose))
    if output == "json":
        return as_json(found)
    print(f"Feed {plain(name)} is {'suspended' if verb == 'suspend' else 'in force'}.")
    return 0
