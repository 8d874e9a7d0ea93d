"""``troth admin``: accounts of the dashboard."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.errors import NO_ACCOUNT
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="admin", help="Accounts of the dashboard.", help_format="plaintext")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List accounts."""
    found = Api.at(data).get("/accounts")
    rows = [
        (one["name"], one["role"], one["state"], one["person"], one["log_in"], one["passkeys"],
         when(one["created_at"]))
        for one in found
    ]  # fmt: skip
    empty = "No account yet: open the dashboard and use the token in the file admin.token of the data directory."
    return listed(found, output, ("name", "role", "state", "person", "log-in", "passkeys", "since"), rows, empty=empty)


@app.command
def invite(
    name: Annotated[str, Parameter(help="The account's name; without it, whoever uses the token chooses.")] = "",
    *,
    role: Literal["administrator", "operator", "approver", "auditor"] = "operator",
    person: Annotated[str, Parameter(help="Whose account it will be, if that person has another one.")] = "",
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print a set-up token for one more account. It works once, within 24 hours, on the dashboard's /setup page."""
    body = {"role": role, "name": name or None, "person": person or None}
    made = Api.at(data).post("/accounts/invite", body, **query(propose))
    if output == "json":
        return as_json(made)
    print(made["secret"])
    return 0


@app.command
def disable(name: str, *, propose: Propose = False, data: Data = None, output: Output = "text") -> int:
    """Turn an account off; its log-ins and tokens end with it."""
    return _set(name, "disable", data, output, propose)


@app.command
def enable(name: str, *, propose: Propose = False, data: Data = None, output: Output = "text") -> int:
    """Turn an account on again."""
    return _set(name, "enable", data, output, propose)


@app.command
def remove(name: str, *, propose: Propose = False, data: Data = None, output: Output = "text") -> int:
    """Remove an account with its log-ins, tokens and passkeys."""
    api = Api.at(data)
    api.delete(f"/accounts/{_account(api, name)['id']}", **query(propose))
    if output == "json":
        return as_json({"removed": name})
    print(f"{plain(name)} is removed.")
    return 0


@app.command
def person(
    name: Annotated[str, Parameter(help="The account's name.")],
    whose: Annotated[str, Parameter(help="The person; without it, the account is a person's of its own.")] = "",
    *,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say whose account it is: accounts of one person count once among approvals."""
    api = Api.at(data)
    found = api.put(f"/accounts/{_account(api, name)['id']}/person", {"person": whose}, **query(propose))
    if output == "json":
        return as_json(found)
    print(f"{plain(name)} is {plain(whose)}'s account." if whose else f"{plain(name)} is a person's of its own.")
    return 0


def _set(name: str, action: str, data: Data, output: Output, propose: bool) -> int:
    api = Api.at(data)
    found = api.post(f"/accounts/{_account(api, name)['id']}/{action}", {}, **query(propose))
    if output == "json":
        return as_json(found)
    print(f"{plain(name)} is {'disabled' if action == 'disable' else 'active'}.")
    return 0


def _account(api: Api, name: str) -> dict[str, Any]:
    found = next((one for one in api.get("/accounts") if one["name"] == name), None)
    if found is None:
        raise TrothError(NO_ACCOUNT, plain(name))
    return dict(found)
