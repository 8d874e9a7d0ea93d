"""``troth feed``: who may tell Troth that something is wrong."""

from __future__ import annotations

from typing import Annotated

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
         one["greatest_effect"], one["may_clear"], when(one["last_signal_at"]))
        for one in found
    ]  # fmt: skip
    head = ("name", "state", "health", "heard", "signals", "scope", "greatest effect", "may clear", "last signal")
    return listed(found, output, head, rows, empty="No feed. Grant one: troth apply -f feeds.yaml")


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


def _set(name: str, verb: str, reason: str, data: Data, output: Output, *, propose: bool = False) -> int:
    found = Api.at(data).post(f"/feeds/{segment(name)}/{verb}", {"note": reason}, **query(propose))
    if output == "json":
        return as_json(found)
    print(f"Feed {plain(name)} is {'suspended' if verb == 'suspend' else 'in force'}.")
    return 0
