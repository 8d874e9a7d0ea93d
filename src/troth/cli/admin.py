"""``troth admin``: accounts of the dashboard."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.errors import NO_ACCOUNT
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="admin", help="Accounts of the dashboard.", help_format="plaintext")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List accounts."""
    found = Api.at(data).get("/accounts")
    rows = [(one["name"], one["role"], one["state"], one["log_in"], when(one["created_at"])) for one in found]
    empty = "No account yet: open the dashboard and use the token in the file admin.token of the data directory."
    return listed(found, output, ("name", "role", "state", "log-in", "since"), rows, empty=empty)


@app.command
def invite(
    name: Annotated[str, Parameter(help="The account's name; without it, whoever uses the token chooses.")] = "",
    *,
    role: Literal["administrator", "operator", "approver", "auditor"] = "operator",
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print a set-up token for one more account. It works once, within 24 hours, on the dashboard's /setup page."""
    made = Api.at(data).post("/accounts/invite", {"role": role, "name": name or None})
    if output == "json":
        return as_json(made)
    print(made["secret"])
    return 0


@app.command
def disable(name: str, *, data: Data = None, output: Output = "text") -> int:
    """Turn an account off; its log-ins and tokens end with it."""
    return _set(name, "disable", data, output)


@app.command
def enable(name: str, *, data: Data = None, output: Output = "text") -> int:
    """Turn an account on again."""
    return _set(name, "enable", data, output)


def _set(name: str, action: str, data: Data, output: Output) -> int:
    api = Api.at(data)
    account = next((one for one in api.get("/accounts") if one["name"] == name), None)
    if account is None:
        raise TrothError(NO_ACCOUNT, plain(name))
    found = api.post(f"/accounts/{account['id']}/{action}", {})
    if output == "json":
        return as_json(found)
    print(f"{plain(name)} is {'disabled' if action == 'disable' else 'active'}.")
    return 0
