"""``troth profile``: what certificates look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, one_version, plain, when
from troth.cli.verbs import read

app = App(name="profile", help="Certificate profiles.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the profile.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the profiles in force."""
    found = Api.at(data).get("/profiles")
    rows = [
        (one["name"], one["version"], one["issuer_class"], one["extended_key_usage"], one["kinds"], one["lifetime"])
        for one in found
    ]
    head = ("name", "version", "issued by", "good for", "names", "lives")
    return listed(found, output, head, rows, empty="No profile. Apply one: troth apply -f profile.yaml")


@app.command
def show(
    name: Name,
    *,
    version: Annotated[int | None, Parameter(help="Default: the one in force.")] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print a profile as it was applied; it can be edited and applied again."""
    return one_version(Api.at(data).get(f"/profiles/{segment(name)}"), version, output)


@app.command
def history(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """List the versions of a profile, latest first."""
    found = Api.at(data).get(f"/profiles/{segment(name)}")
    rows = [(one["version"], when(one["applied_at"]), one["applied_by"], one["digest"][:16]) for one in found]
    return listed(found, output, ("version", "applied", "by", "digest"), rows, empty="No version.")


@app.command
def diff(
    name: Annotated[str, Parameter(help="Name of the profile; left out with --file.")] = "",
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="Compare this with what is in force.")] = None,
    before: int | None = None,
    after: int | None = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show what changed between two versions, or what applying a file would change."""
    api = Api.at(data)
    if file is not None:
        found = api.post("/profiles/diff", read(file))
    else:
        found = api.get(f"/profiles/{segment(name)}/diff", before=before, after=after)
    if output == "json":
        return as_json(found)
    for line in found["diff"].splitlines() or ["Nothing differs."]:
        print("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line))
    return 0


@app.command
def preview(
    name: Name,
    subject: Annotated[str, Parameter(help="Whose it would be: an id, a name, or kind:name.")],
    *,
    names: Annotated[
        tuple[str, ...],
        Parameter(name="--name", help="A name that the door would prove: kind=value, or a DNS name.", negative=""),
    ] = (),
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show what a certificate would look like, or what is missing. Nothing is issued. Exit code 1 if it is refused."""
    found = Api.at(data).get(f"/profiles/{segment(name)}/preview", subject=subject, names=" ".join(names))
    refused = found["refusal"] is not None
    if output == "json":
        as_json(found)
        return 1 if refused else 0
    instead = f", with profile {found['profile']}" if found["profile"] != name else ""
    print(f"Policy would say {found['outcome']} ({found['reason']}){instead}.")
    if refused:
        print(f"It would be refused: {plain(found['refusal'])}")
        print(f"  {found['fix']}  [{found['code']}]")
        return 1
    facts([*found["fields"], ("Signed by", found["authority"])])
    print("\nNothing was issued.")
    return 0
