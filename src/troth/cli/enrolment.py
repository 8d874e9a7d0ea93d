"""``troth enrolment``: what an operator hands out so that clients may open ACME accounts, or enrol by EST."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.closing import Certificates, Yes, close, of_enrolment
from troth.cli.errors import FILE_EXISTS, UNWRITABLE
from troth.cli.options import Data, Output, Propose
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="enrolment", help="What lets clients open ACME accounts.", help_format="plaintext")

Kind = Literal["external-account", "directory", "client-identifier"]
Reference = Annotated[str, Parameter(help="Identifier of the enrolment.")]
Texts = tuple[str, ...]


@app.command(name="list")
def list_(
    *, kind: Literal["", "external-account", "directory", "client-identifier"] = "", cursor: str = "", limit: int = 50,
    data: Data = None, output: Output = "text",
) -> int:  # fmt: skip
    """List enrolments, the newest first. No secret is shown."""
    page = Api.at(data).get("/enrolments", kind=kind, cursor=cursor, limit=limit)
    rows = [
        (one["id"], one["kind"], one["name"], one["state"], when(one["expires_at"]), _names(one))
        for one in page["items"]
    ]
    head = ("id", "kind", "name", "state", "opens until", "names")
    return listed(page, output, head, rows, empty="No enrolment. Make one: troth enrolment create NAME")


@app.command
def show(enrolment: Reference, *, data: Data = None, output: Output = "text") -> int:
    """Show an enrolment, without its secret."""
    one = Api.at(data).get(f"/enrolments/{segment(enrolment)}")
    if output == "json":
        return as_json(one)
    _tell(one)
    return 0


@app.command
def create(
    name: Annotated[str, Parameter(help="What it is for, in your words.")],
    *,
    kind: Annotated[Kind, Parameter(help="Key id and HMAC key, a secret directory URL, or a device's one-time id.")]
    = "external-account",
    directory: Annotated[Texts, Parameter(help="ACME directory or est:LABEL; several. All of ACME.")] = (),
    profile: Annotated[Texts, Parameter(help="Profile that its accounts may order. All of the directory.")] = (),
    dns: Annotated[Texts, Parameter(help="Exact DNS name or address that may be asked for.")] = (),
    suffix: Annotated[Texts, Parameter(help="Domain that may be asked for, with all names below it.")] = (),
    network: Annotated[Texts, Parameter(help="Network whose addresses may be asked for, 10.0.0.0/8.")] = (),
    device_id: Annotated[Texts, Parameter(help="Device identifier (serial number) that may be asked for.")] = (),
    vouch: Annotated[bool, Parameter(help="Take these names as proved.", negative="")] = False,
    device: Annotated[str, Parameter(help="Device of the directory in whose name its accounts act.")] = "",
    user: Annotated[str, Parameter(help="User in whose name they act.")] = "",
    days: Annotated[int, Parameter(help="For so long it opens accounts.")] = 7,
    accounts: Annotated[int | None, Parameter(help="It opens at most so many.")] = None,
    orders: Annotated[int | None, Parameter(help="They place at most so many orders.")] = None,
    out: Annotated[Path | None, Parameter(help="Write the secret to this new file, and nowhere else.")] = None,
    apple: Annotated[Path | None, Parameter(help="Write a configuration profile for Apple's devices here.")] = None,
    apple_json: Annotated[Path | None, Parameter(help="Write the same as asset data of a declaration.")] = None,
    serial: Annotated[str, Parameter(help="For Apple and a secret directory: the device's serial number.")] = "",
    data: Data = None,
    output: Output = "text",
) -> int:  # fmt: skip
    """Make an enrolment. Its secret is told this once."""
    body: dict[str, Any] = {
        "kind": kind, "name": name, "seconds": days * 86_400, "directories": directory, "profiles": profile,
        "names": dns, "suffixes": suffix, "networks": network, "devices": device_id, "vouches": vouch,
        "device": device, "user": user, "most_accounts": accounts, "most_orders": orders,
    }  # fmt: skip
    files = [path for path in (out, apple, apple_json) if path is not None]
    for path in files:
        if path.exists():
            raise TrothError(FILE_EXISTS, str(path))  # before anything is made whose secret would then be lost
    if apple or apple_json:
        chosen = directory[0] if directory else _first_directory(data)
        body["apple"] = {"directory": chosen, "client_identifier": serial}
    made = Api.at(data).post("/enrolments", body)
    if apple:
        _write(apple, made["apple"]["mobileconfig"])
    if apple_json:
        _write(apple_json, made["apple"]["credential"] + "\n")
    if out:
        _write(out, made["secret"] + "\n")
        made = {**made, "secret": f"in {out}", "directory_urls": _hidden(made), "apple": None}
    if output == "json":
        return as_json(made)
    _tell(made["enrolment"])
    title = {"external-account": "HMAC key", "directory": "Secret", "client-identifier": "Identifier"}[kind]
    facts(
        [
            ("Key id", made["key_id"]),
            (title, made["secret"]),
            *(("Directory", url) for url in made["directory_urls"]),
            *(("EST", url) for url in made["enrolment"]["est_urls"]),
            ("EST user", (made["key_id"] or "any") if made["enrolment"]["est_urls"] else None),
            ("Written", ", ".join(map(str, files))),
        ]
    )
    if not out:
        print("\nThe secret is told this once.")
    return 0


@app.command
def revoke(
    enrolment: Reference, *, certificates: Certificates = False, yes: Yes = False, propose: Propose = False,
    data: Data = None, output: Output = "text",
) -> int:  # fmt: skip
    """End an enrolment: the accounts that it opened are shut out on their next call."""
    return close(
        f"/enrolments/{segment(enrolment)}", of_enrolment,
        certificates=certificates, yes=yes, propose=propose, data=data, output=output,
    )  # fmt: skip


def _tell(one: dict[str, Any]) -> None:
    facts(
        [
            ("Enrolment", one["id"]),
            ("Kind", one["kind"]),
            ("Name", one["name"]),
            ("State", one["state"]),
            ("Opens until", when(one["expires_at"])),
            ("Directories", one["directories"]),
            ("Profiles", one["profiles"]),
            ("Names", _names(one)),
            ("Vouches", one["vouches"]),
            ("Device", one["device"] and one["device"]["name"]),
            ("User", one["user"] and one["user"]["name"]),
            ("Accounts", one["most_accounts"] and f"{one['accounts']} of {one['most_accounts']}"),
            ("Orders", one["most_orders"] and f"{one['orders']} of {one['most_orders']}"),
            ("Certificates", one["certificates"]),
            ("EST", one["est_urls"]),
            ("Made", f"{when(one['created_at'])} by {plain(one['created_by'])}"),
            ("Revoked", one["revoked_at"] and f"{when(one['revoked_at'])} by {plain(one['revoked_by'])}"),
        ]
    )


def _names(one: dict[str, Any]) -> list[str]:
    return [*one["names"], *(f"*.{suffix}" for suffix in one["suffixes"]), *one["networks"], *one["devices"]]


def _hidden(made: dict[str, Any]) -> list[str]:
    return [url.replace(made["secret"], "…") for url in made["directory_urls"]]


def _first_directory(data: Data) -> str:
    found = Api.at(data).get("/acme/directories")
    return str(found[0]["name"]) if found else ""


def _write(path: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except FileExistsError as error:
        raise TrothError(FILE_EXISTS, str(path)) from error
    except OSError as error:
        raise TrothError(UNWRITABLE, f"{path}: {error.strerror}") from error
