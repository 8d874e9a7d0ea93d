"""``troth policy``: when a certificate may exist; tried, compared, and gone back to. Applying is ``troth apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, listed, one_version, plain, table, when
from troth.cli.verbs import beside_of, read

app = App(name="policy", help="When a certificate may exist: try, compare, go back.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the policy.")]
File = Annotated[
    Path, Parameter(name=["--file", "-f"], help="YAML file, or - for standard input.", allow_leading_hyphen=True)
]
Beside = Annotated[
    Path | None, Parameter(help="Further tests. Default: NAME.tests.yaml beside NAME.yaml, where there is one.")
]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the policies in force."""
    found = Api.at(data).get("/policies")
    rows = [(one["name"], one["version"], one["profiles"], when(one["applied_at"]), one["applied_by"]) for one in found]
    head = ("name", "version", "governs", "applied", "by")
    return listed(found, output, head, rows, empty="No policy. Apply one: troth apply -f policy.yaml")


@app.command
def show(
    name: Name,
    *,
    version: Annotated[int | None, Parameter(help="Default: the one in force.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print a policy as it was applied; it can be edited and applied again."""
    return one_version(Api.at(data).get(f"/policies/{segment(name)}"), version, output)


@app.command
def history(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """List the versions of a policy, latest first."""
    found = Api.at(data).get(f"/policies/{segment(name)}")
    rows = [(one["version"], when(one["applied_at"]), one["applied_by"], one["sha256"][:16]) for one in found]
    return listed(found, output, ("version", "applied", "by", "sha-256"), rows, empty="No version.")


@app.command
def diff(
    name: Annotated[str, Parameter(help="Name of the policy; left out with --file.")] = "",
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="Compare this with what is in force.")] = None,
    before: Annotated[int, Parameter(help="Version.")] = 1,
    after: Annotated[int | None, Parameter(help="Version. Default: the one in force.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show what changed between two versions, or what applying a file would change."""
    api = Api.at(data)
    if file is not None:
        found = api.post("/policies/diff", read(file))
    else:
        found = api.get(f"/policies/{segment(name)}/diff", before=before, after=after)
    if output == "json":
        return as_json(found)
    for line in found["diff"].splitlines() or ["Nothing differs."]:
        print("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line))
    return 0


@app.command(name="test")
def run_examples(*, file: File, tests: Beside = None, output: Output = "text") -> int:
    """Run the examples kept beside a policy, on this machine alone: no server is asked. Exit code 1 if one fails."""
    from troth.trust.authoring.examples import run_tests
    from troth.trust.policy.grammar import parse_policy

    beside = tests or beside_of(file)
    policy = parse_policy(read(file), file=file.name)
    found = run_tests(policy, read(beside) if beside is not None else None, file=beside.name if beside else "tests")
    failed = [one for one in found if not one.passed]
    if output == "json":
        rows = [{"name": one.name, "passed": one.passed, "differences": list(one.differences)} for one in found]
        as_json({"policy": policy.name, "passed": not failed, "tests": rows})
        return 1 if failed else 0
    for one in found:
        print(f"{'✓' if one.passed else '✗'} {plain(one.name)}")
        if not one.passed:
            for line in one.told().splitlines():
                print(f"    {plain(line)}")
    print(f"{len(found) - len(failed)} of {len(found)} examples of policy {policy.name} pass.")
    return 1 if failed else 0


@app.command
def replay(
    *,
    file: File,
    tests: Beside = None,
    decisions: Annotated[int, Parameter(help="How many of the latest decisions are looked through.")] = 20_000,
    certificates: Annotated[int, Parameter(help="How many of the latest certificates.")] = 100_000,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say whom a policy would change, from what to what and why. Nothing is applied. Exit code 1 if somebody loses."""
    beside = tests or beside_of(file)
    text = read(file) + (f"\n---\n{read(beside)}" if beside is not None else "")
    found = Api.at(data).post("/policies/replay", text, decisions=decisions, certificates=certificates)
    report = found["report"]
    if output == "json":
        as_json(found)
        return 1 if report["fleet"]["lost"] else 0
    for line in report["sentences"]:
        print(plain(line))
    print()
    rows = [
        (
            one["count"],
            one["kind"] if one["source"] == "fleet" else "recorded",
            one["moment"],
            f"{one['before']} → {one['after']}",
            one["why"],
            one["path"],
            ", ".join(one["names"][:3]),
        )
        for one in report["groups"]
    ]
    table(("number", "of", "at", "outcome", "for", "attribute", "among them"), rows, empty="No outcome changes.")
    print(f"\n{_looked(report)}")
    failed = [one["name"] for one in found["tests"]["tests"] if not one["passed"]]
    if failed:
        print(f"Examples that fail: {plain(failed)}.")
    if found["asks"]:
        print(f"{report['losing_percent']} % of the fleet would lose: applying it takes --yes.")
    return 1 if report["fleet"]["lost"] else 0


@app.command
def back(
    name: Name,
    version: Annotated[int, Parameter(help="Version whose text is applied anew.")],
    *,
    yes: Annotated[bool, Parameter(help="However many would lose by it.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Go back: apply the text of an earlier version, as a new version."""
    accepted = {"accept_loss": "true"} if yes else {}
    found = Api.at(data).post(f"/policies/{segment(name)}/back", {"version": version}, **query(propose), **accepted)
    if output == "json":
        return as_json(found)
    for change in found["changes"]:
        print(f"policy {plain(change['name'])}: {change['action']}, {plain(change['detail'])}")
    return 0


def _looked(report: dict[str, Any]) -> str:
    fleet, recorded = report["fleet"], report["recorded"]
    since = f" since {when(recorded['since'])}" if recorded["since"] else ""
    whole = "" if fleet["complete"] else ", the newest"
    return f"Judged {fleet['judged']} cases of the fleet{whole}, and {recorded['judged']} decisions{since}."
