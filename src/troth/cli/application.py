"""``troth application``: who may ask whether to let somebody in."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when

app = App(name="application", help="Applications that ask whether to let somebody in.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the application.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the applications, and how they were answered."""
    found = Api.at(data).get("/applications")
    rows = [
        (
            one["name"],
            one["profiles"] or "every profile",
            one["profile"],
            one["least"],
            one["per_second"] or "none",
            one["permitted"],
            one["denied"],
            when(one["last_at"]),
        )
        for one in found
    ]
    head = ("name", "accepts", "else by", "least", "limit", "let in", "kept out", "last asked")
    return listed(found, output, head, rows, empty="No application. Register one: troth application add vpn")


@app.command
def add(
    name: Annotated[str, Parameter(help="Lower-case letters, digits and hyphens.")],
    *,
    accept: Annotated[
        tuple[str, ...], Parameter(help="Profile of certificates that count there. Default: every one.", negative="")
    ] = (),
    profile: Annotated[str | None, Parameter(help="Whose policy judges who shows no certificate.")] = None,
    least: Annotated[
        Literal["allow", "restrict"], Parameter(help="restrict lets the restricted in, too.")
    ] = "restrict",
    per_second: Annotated[int, Parameter(help="Questions a second, in each process; 0: no limit.")] = 0,
    certificate: Annotated[
        str | None, Parameter(help="SHA-256 of the certificate that it must show itself, in hexadecimal.")
    ] = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Register an application; its token is printed this once."""
    found = Api.at(data).post(
        "/applications",
        {
            "name": name, "profiles": list(accept), "profile": profile, "least": least, "per_second": per_second,
            "certificate_sha256": certificate,
        },
    )  # fmt: skip
    if output == "json":
        return as_json(found)
    print(f"Application {plain(found['application']['name'])} is registered. Its token, shown this once:")
    print(found["token"])
    return 0


@app.command
def token(
    name: Name,
    *,
    leaked: Annotated[bool, Parameter(help="The former token stops at once, not in a day.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Change the token of an application; the new one is printed this once."""
    found = Api.at(data).post(f"/applications/{segment(name)}/token", {"leaked": leaked})
    if output == "json":
        return as_json(found)
    print(found["token"])
    return 0


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """Answer an application no more."""
    Api.at(data).delete(f"/applications/{segment(name)}")
    print(f"Application {plain(name)} is taken off.")
    return 0
