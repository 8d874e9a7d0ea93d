"""``troth approval``: acts that wait for other persons, and the two-person rule.

Approving itself takes a passkey, so it happens in a browser.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, table, when
from troth.kit.errors import TrothError

app = App(name="approval", help="Acts that wait for other persons' approval.", help_format="plaintext")
rule = App(name="rule", help="The two-person rule.", help_format="plaintext")
app.command(rule)

Proposal = Annotated[str, Parameter(help="Identifier of the proposal.")]


@app.command(name="list")
def list_(
    *,
    done: Annotated[bool, Parameter(help="Those that are settled.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List what waits, latest first."""
    found = Api.at(data).get("/approvals", show="done" if done else "waiting")
    rows = [
        (one["id"], one["kind"], one["words"], f"{len(one['approvals'])} of {one['needed']}", one["state"],
         one["actor"], when(one["settled_at"] if done else one["expires_at"]))
        for one in found["items"]
    ]  # fmt: skip
    head = ("id", "kind", "what", "approvals", "state", "proposed by", "at" if done else "until")
    return listed(found, output, head, rows, empty="Nothing waits.")


@app.command
def show(proposal: Proposal, *, data: Data = None, output: Output = "text") -> int:
    """Show one proposal: who, what exactly, and what it would hit."""
    return _shown(Api.at(data).get(f"/approvals/{segment(proposal)}"), output)


def _shown(one: dict[str, object], output: Output) -> int:
    if output == "json":
        return as_json(one)
    approvals = one["approvals"]
    lines = one["lines"]
    assert isinstance(approvals, list)  # noqa: S101 -- of our own server
    assert isinstance(lines, list)  # noqa: S101 -- as above
    digest = str(one["act_hash"])
    facts(
        [
            ("What", one["words"]),
            ("State", one["state"]),
            ("Because", one["settled_why"]),
            ("Proposed by", one["actor"]),
            ("Comment", one["comment"]),
            ("Approvals", f"{len(approvals)} of {one['needed']}"),
            *(("", f"{yes['person']} ({yes['actor']}), {when(yes['at'])}") for yes in approvals),
            ("Until", when(str(one["expires_at"]))),
            ("Read aloud", " ".join(digest[place : place + 4] for place in range(0, 24, 4))),
            ("SHA-256", digest),
            ("Exactly", f"{one['kind']} {one['payload']}"),
        ]
    )
    print("It would hit:")
    for line in lines:
        print(f"  {plain(line)}")
    return 0


@app.command
def propose(
    kind: Annotated[str, Parameter(help="Kind of act, as `troth approval rule show` lists them.")],
    payload: Annotated[Path, Parameter(help="File with the act's payload as JSON.")],
    *,
    comment: str = "",
    dry_run: Annotated[bool, Parameter(help="Only show what it would hit.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Propose an act, though the rule may ask for nothing."""
    try:
        told = json.loads(payload.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrothError(UNREADABLE, f"{payload}: {error}") from error
    body = {"kind": kind, "payload": told, "comment": comment}
    if not dry_run:
        Api.at(data).post("/approvals", body)
        return 0
    found = Api.at(data).post("/approvals/preview", body)
    if output == "json":
        return as_json(found)
    print(f"{plain(found['words'])}. It asks for {found['needed']} approvals.")
    for line in found["lines"]:
        print(f"  {plain(line)}")
    return 0


@app.command
def reject(proposal: Proposal, *, reason: str, data: Data = None, output: Output = "text") -> int:
    """End a proposal."""
    return _shown(Api.at(data).post(f"/approvals/{segment(proposal)}/reject", {"reason": reason}), output)


@app.command
def withdraw(proposal: Proposal, *, reason: str = "", data: Data = None, output: Output = "text") -> int:
    """Take your own proposal back."""
    return _shown(Api.at(data).post(f"/approvals/{segment(proposal)}/withdraw", {"reason": reason}), output)


@app.command
def execute(proposal: Proposal, *, data: Data = None, output: Output = "text") -> int:
    """Have done what was approved: where the outcome is a secret, its proposer does this and is told it once."""
    found = Api.at(data).post(f"/approvals/{segment(proposal)}/execute", {})
    if output == "json":
        return as_json(found)
    print(f"{plain(found['proposal']['words'])}: done.")
    outcome = found["outcome"] or {}
    for name, value in outcome.items():
        if name == "changes":
            for change in value:
                print(f"  {change['kind']} {plain(change['name'])}: {change['action']}")
                if change["secret"]:
                    print(f"    its webhook secret, shown this once: {change['secret']}")
        else:
            print(f"  {name}: {plain(value)}")
    return 0


@rule.command(name="show")
def rule_show(*, data: Data = None, output: Output = "text") -> int:
    """Show the rule in force, and what each kind of act asks for."""
    found = Api.at(data).get("/approvals/rule")
    if output == "json":
        return as_json(found)
    print(f"# version {found['version']}" if found["version"] else "# no rule was ever set")
    print(found["document"])
    rows = [(one["kind"], one["approvals"], one["roles"], one["eligible"]) for one in found["demands"]]
    table(("kind", "approvals", "of", "who could now"), rows, empty="There are no kinds of act.")
    return 0


@rule.command(name="apply")
def rule_apply(
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="The rule as YAML.")] = None,
    preset: Annotated[Literal["regulated", "open"] | None, Parameter(help="A rule that comes with Troth.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Change the rule. It takes the approvals that old and new rule ask for together."""
    if (file is None) == (preset is None):
        raise TrothError(UNREADABLE, "give either --file or --preset")
    if file is not None:
        try:
            document = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrothError(UNREADABLE, f"{file}: {error}") from error
    else:
        from troth.access.approvals.rule import PRESETS

        document = PRESETS[str(preset)]
    found = Api.at(data).post("/approvals/rule", {"document": document})
    if output == "json":
        return as_json(found)
    print(f"Version {found['version']} of the rule is in force.")
    return 0
