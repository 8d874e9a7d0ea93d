"""``troth standing``: the rules by which what feeds say adds up, and evaluating everybody anew."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when
from troth.cli.verbs import read

app = App(name="standing", help="How signals add up to a standing.", help_format="plaintext")


@app.command
def show(
    *,
    version: Annotated[int | None, Parameter(help="An earlier version; 0 is what Troth ships.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print the standing document in force."""
    found = Api.at(data).get("/standing/rules")
    one = next((one for one in found if (one["active"] if version is None else one["version"] == version)), None)
    if output == "json":
        return as_json(one)
    print(plain(one["text"]) if one is not None else "There is no such version.")
    return 0 if one is not None else 1


@app.command
def history(*, data: Data = None, output: Output = "text") -> int:
    """List the versions that were applied, the newest first."""
    found = Api.at(data).get("/standing/rules")
    rows = [
        (one["version"], "in force" if one["active"] else "", when(one["applied_at"]), one["applied_by"] or "shipped")
        for one in found
    ]
    return listed(found, output, ("version", "", "applied", "by"), rows, empty="")


@app.command
def diff(before: int, after: int | None = None, *, data: Data = None) -> int:
    """Compare two versions; by default with the one in force."""
    found = {one["version"]: one["text"] for one in Api.at(data).get("/standing/rules")}
    newest = max(found) if after is None else after
    if before not in found or newest not in found:
        print("There is no such version.")
        return 1
    lines = difflib.unified_diff(
        found[before].splitlines(), found[newest].splitlines(), f"version {before}", f"version {newest}", lineterm=""
    )
    for line in lines:
        print(plain(line))
    return 0


@app.command
def reevaluate(
    *,
    apply: Annotated[bool, Parameter(help="Do it; without this it is only told what would change.")] = False,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="Tell what this document would change.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Tell whom an evaluation of everybody would move, or have it done in the background."""
    api = Api.at(data)
    if apply and file is None:
        begun = api.post("/standing/reevaluate", {})
        if output == "json":
            return as_json(begun)
        print("Begun. How far it is: troth standing run")
        return 0
    found = api.post("/standing/outlook", "\n" if file is None else read(file))
    if output == "json":
        return as_json(found)
    for one in found["moves"]:
        print(f"{one['subjects']:>7} from {one['before']} to {one['after']}")
    for line in found["examples"]:
        print(f"        {plain(line)}")
    print(f"{found['subjects']} looked at. Nothing was changed.")
    return 0


@app.command
def run(*, data: Data = None, output: Output = "text") -> int:
    """How far the evaluation under way is, or how the last one ended."""
    found = Api.at(data).get("/standing/run")
    if output == "json":
        return as_json(found)
    state = "Under way" if found["running"] else "Ended"
    print(f"{state}: {found['seen']} looked at, {found['moved']} touched, {found['held_back']} held back by caps.")
    return 0
