"""``troth account``: ACME accounts, and clients that were paused."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.closing import Certificates, Yes, close, of_account
from troth.cli.options import Data, Output, Propose
from troth.cli.show import as_json, facts, listed, plain, table, when

app = App(name="account", help="ACME accounts.", help_format="plaintext")

Reference = Annotated[str, Parameter(help="Identifier of the account: the end of its URL.")]


@app.command(name="list")
def list_(
    *, directory: str = "", status: Literal["", "valid", "deactivated", "revoked"] = "",
    enrolment: Annotated[str, Parameter(help="Only those that this enrolment has opened.")] = "",
    cursor: str = "", limit: int = 50, data: Data = None, output: Output = "text",
) -> int:  # fmt: skip
    """List ACME accounts, the newest first."""
    api = Api.at(data)
    if enrolment:
        page = api.get(f"/enrolments/{segment(enrolment)}/accounts", cursor=cursor, limit=limit)
    else:
        page = api.get("/acme/accounts", directory=directory, status=status, cursor=cursor, limit=limit)
    rows = [
        (one["id"], one["directory"], one["status"], when(one["created_at"]), one["enrolment_kind"], one["contact"])
        for one in page["items"]
    ]
    head = ("id", "directory", "status", "since", "opened by", "contact")
    return listed(page, output, head, rows, empty="No account.")


@app.command
def failures(
    name: Annotated[str, Parameter(help="Of this name only; *. for a wildcard.")] = "",
    *,
    limit: int = 20,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say why validations failed, the latest first, with each look-up and connection."""
    found = Api.at(data).get("/acme/validations", name=name, limit=limit)
    if output == "json":
        return as_json(found)
    for one in found:
        print(f"{when(one['at'])}  {plain(one['name'])}  {one['method']}  {one['outcome']}  {one['reason']}")
        for line in (one["detail"], *(f"{step['target']}: {step['result']}" for step in one["steps"])):
            if line:
                print(f"    {plain(line)}")
    if not found:
        print("No validation has failed.")
    return 0


@app.command
def show(account: Reference, *, data: Data = None, output: Output = "text") -> int:
    """Show an account with its latest orders."""
    one = Api.at(data).get(f"/acme/accounts/{segment(account)}")
    if output == "json":
        return as_json(one)
    facts(
        [
            ("Account", one["id"]),
            ("Directory", one["directory"]),
            ("Status", one["status"]),
            ("Key", one["thumbprint"]),
            ("Contact", one["contact"]),
            ("Since", when(one["created_at"])),
            ("Enrolment", one["enrolment_id"] and f"{one['enrolment_id']} ({one['enrolment_kind']})"),
            ("Certificates", one["certificates"]),
            *(("Paused", f"{paused['value']}: {paused['failures']} failures in a row") for paused in one["paused"]),
        ]
    )
    if one["orders"]:
        print()
        rows = [
            (o["status"], o["profile"], when(o["created_at"]), o["names"], o["certificate_id"]) for o in one["orders"]
        ]
        table(("order", "profile", "placed", "names", "certificate"), rows, empty="")
    return 0


@app.command
def revoke(
    account: Reference, *, certificates: Certificates = False, yes: Yes = False, propose: Propose = False,
    data: Data = None, output: Output = "text",
) -> int:  # fmt: skip
    """Close an account for good: it is shut out on its next call."""
    return close(
        f"/acme/accounts/{segment(account)}", of_account,
        certificates=certificates, yes=yes, propose=propose, data=data, output=output,
    )  # fmt: skip


@app.command
def paused(*, cursor: str = "", limit: int = 50, data: Data = None, output: Output = "text") -> int:
    """List names whose validation never succeeds, and is paused."""
    page = Api.at(data).get("/acme/paused", cursor=cursor, limit=limit)
    rows = [(one["account_id"], one["value"], one["failures"], when(one["paused_at"])) for one in page["items"]]
    return listed(page, output, ("account", "name", "failures", "paused"), rows, empty="Nobody is paused.")


@app.command
def unpause(account: Reference, *, data: Data = None, output: Output = "text") -> int:
    """Let an account try its paused names again."""
    done = Api.at(data).post(f"/acme/accounts/{segment(account)}/unpause")
    if output == "json":
        return as_json(done)
    print(f"Set going again: {done['names']} names.")
    return 0
