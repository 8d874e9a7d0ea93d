"""Ending what lets clients in: an enrolment or an ACME account, after saying what it would hit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from troth.cli.api import Api
from troth.cli.options import Data, Output, query
from troth.cli.show import as_json, plain

Certificates = Annotated[bool, Parameter(help="Revoke the certificates behind it, too.", negative="")]
Yes = Annotated[bool, Parameter(help="Do it; without this, only say what it would hit.", negative="")]


def close(
    path: str, words: Callable[[dict[str, Any]], tuple[str, str]], *, certificates: bool, yes: bool, propose: bool,
    data: Data, output: Output,
) -> int:  # fmt: skip
    """Close what is at ``path`` of the API. ``words``: of it, what would be done to it, and what was."""
    api = Api.at(data)
    if not (yes or propose):
        one = api.get(path)
        print(f"Would {words(one)[0]}.")
        living = f"{one['certificates']} living certificates behind it"
        print(f"The {living} would be revoked." if certificates else f"The {living} would stay.")
        print("Nothing was done. Say --yes to do it.")
        return 0
    done = api.post(f"{path}/revoke", {"certificates": certificates}, **query(propose))
    if output == "json":
        return as_json(done)
    print(f"{words(done)[1]}.")
    return 0


def of_enrolment(one: dict[str, Any]) -> tuple[str, str]:
    """Words of an enrolment."""
    name = plain(one["name"])
    return f"end {name} and close the accounts that it has opened", f"Ended: {name}. Its accounts are closed"


def of_account(one: dict[str, Any]) -> tuple[str, str]:
    """Words of an account."""
    which = plain(one["id"])
    return f"close the account {which} in the directory {plain(one['directory'])}", f"Closed: {which}"
