"""``troth cert``: find, issue, hold, release and revoke certificates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import FILE_EXISTS, UNWRITABLE
from troth.cli.options import Data, Output, Propose, Serials, query, serials_in
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="cert", help="Certificates.", help_format="plaintext")

Reference = Annotated[str, Parameter(help="Identifier or serial number.")]
Note = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]
Key = Literal["p256", "p384", "rsa3072", "ed25519", "mldsa44", "mldsa65", "mldsa87"]
Why = Literal["unspecified", "key-compromise", "affiliation-changed", "superseded", "cessation", "privilege-withdrawn"]
_REASONS: dict[Why, int] = {
    "unspecified": 0, "key-compromise": 1, "affiliation-changed": 3, "superseded": 4, "cessation": 5,
    "privilege-withdrawn": 9,
}  # fmt: skip


@app.command(name="list")
def list_(
    search: Annotated[str, Parameter(help="Beginning of a serial number, end of a name, or a subject.")] = "",
    *,
    status: Literal["", "good", "held", "revoked", "expired", "expiring", "reserved", "burnt"] = "",
    profile: str = "",
    cursor: str = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List certificates, latest first."""
    page = Api.at(data).get("/certificates", q=search, status=status, profile=profile, cursor=cursor, limit=limit)
    rows = [
        (_title(one), one["status"] if one["state"] == "issued" else one["state"], one["profile"],
         when(one["not_after"]), one["serial"])
        for one in page["items"]
    ]  # fmt: skip
    empty = "No certificate. Issue one: troth cert issue tls-server www.example.org --out ."
    return listed(page, output, ("name", "status", "profile", "ends", "serial"), rows, empty=empty)


def _title(one: dict[str, Any]) -> str:
    return str(one["common_name"] or (one["names"][0]["value"] if one["names"] else one["serial"]))


@app.command
def show(certificate: Reference, *, pem: bool = False, data: Data = None, output: Output = "text") -> int:
    """Show a certificate; with --pem, print just that."""
    one = Api.at(data).get(f"/certificates/{segment(certificate)}")
    if output == "json":
        return as_json(one)
    if pem:
        print(one["pem"] or "", end="")
        return 0
    return _tell(one)


def _tell(one: dict[str, Any]) -> int:
    facts(
        [
            ("Name", _title(one)),
            ("Names", one["names"]),
            ("Status", one["status"] if one["state"] == "issued" else one["state"]),
            *(
                ("On hold", f"{hold['title'] or hold['cause']} (since {when(hold['raised_at'])})")
                for hold in one["holds"]
            ),
            ("Serial", one["serial"]),
            ("Profile", f"{one['profile']}, version {one['profile_version']}"),
            ("Authority", one["authority"]),
            ("Key", one["key_assurance"]),
            ("In force", f"{when(one['not_before'])} to {when(one['not_after'])}"),
            *(("Belongs to", f"{link['kind']} {link['name']} ({link['standing']})") for link in one["subjects"]),
            ("SHA-256", one["sha256"]),
            ("Asked for by", one["actor"]),
            ("Identifier", one["id"]),
            ("Why", f"troth why {one['serial']}" if one["decision_id"] else None),
        ]
    )
    return 0


@app.command
def issue(
    profile: str,
    subject: Annotated[str, Parameter(help="Whose it is: a known subject, or a name that becomes a workload.")],
    *,
    out: Annotated[Path, Parameter(help="Directory for key, certificate and chain.")],
    names: Annotated[
        tuple[str, ...],
        Parameter(
            name="--name",
            help="DNS name, IP address, mail address or URI; may be repeated. Default: the subject's.",
            negative="",
            show_default=False,
        ),
    ] = (),
    key: Key = "p256",
    lifetime_seconds: int | None = None,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Issue a certificate. The key is made here, kept here (0600), and never sent."""
    from troth.client.keys import new_key, new_request

    api = Api.at(data)
    name = subject.partition(":")[2] or subject
    # A profile that makes its names of what is known wants none from here; one that takes them over gets the subject's.
    wanted = names or (() if api.get(f"/profiles/{segment(profile)}")[0]["templated"] else (name,))
    stem = "".join(one if one.isalnum() or one in ".-" else "_" for one in (*wanted, name)[0]).lstrip(".")
    stem = stem or "certificate"
    paths = {kind: out / f"{stem}{ending}" for kind, ending in
             (("key", ".key"), ("certificate", ".crt"), ("fullchain", ".fullchain.crt"))}  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrothError(UNWRITABLE, f"{out}: {error}") from error
    for path in paths.values():
        if path.exists():
            raise TrothError(FILE_EXISTS, str(path))
    secret, encoded = new_key(key)
    _write(paths["key"], encoded, 0o600)
    command: dict[str, Any] = {"profile": profile, "subject": subject, "csr": new_request(secret, wanted)}
    if lifetime_seconds is not None:
        command["lifetime_seconds"] = lifetime_seconds
    try:
        issued = api.post("/certificates", command)
    except TrothError:
        paths["key"].unlink()
        raise
    _write(paths["certificate"], issued["certificate"].encode(), 0o644)
    _write(paths["fullchain"], (issued["certificate"] + "".join(issued["chain"])).encode(), 0o644)
    if output == "json":
        return as_json(issued | {name: str(path) for name, path in paths.items()})
    facts(
        [
            ("Issued", ", ".join(wanted) or name),
            ("Serial", issued["serial"]),
            ("Ends", when(issued["not_after"])),
            ("Key", paths["key"]),
            ("Certificate", paths["certificate"]),
            ("With chain", paths["fullchain"]),
        ]
    )
    return 0


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except OSError as error:
        raise TrothError(UNWRITABLE, f"{path}: {error}") from error


@app.command
def hold(certificate: Reference, *, note: Note = "", data: Data = None, output: Output = "text") -> int:
    """Put a certificate on hold until you release it."""
    return _act(certificate, "hold", {"note": note}, data, output)


@app.command
def release(certificate: Reference, *, note: Note = "", data: Data = None, output: Output = "text") -> int:
    """Clear your own hold. The certificate is good again when no other cause remains."""
    return _act(certificate, "release", {"note": note}, data, output)


@app.command
def revoke(
    certificate: Reference,
    *,
    reason: Why = "unspecified",
    note: Note = "",
    yes: Annotated[bool, Parameter(help="Do it. Without this, only what it would hit is shown.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Revoke a certificate for good. Shows what it would hit unless --yes is given."""
    if yes:
        return _act(certificate, "revoke", {"reason": _REASONS[reason], "note": note}, data, output)
    one = Api.at(data).get(f"/certificates/{segment(certificate)}")
    if output == "json":
        return as_json({"would_revoke": one})
    print("This would revoke, for good:\n")
    _tell(one)
    print("\nNothing was done. Add --yes to do it.")
    return 0


@app.command(name="revoke-many")
def revoke_many(
    *,
    subject: Annotated[str, Parameter(help="Name, kind:name or identifier of a subject.")] = "",
    profile: str = "",
    authority: str = "",
    issued_after: Annotated[str, Parameter(help="ISO 8601 with its offset: 2026-11-01T00:00:00Z.")] = "",
    issued_before: Annotated[str, Parameter(help="As above.")] = "",
    serials: Serials = None,
    protected: Annotated[bool, Parameter(help="Protected subjects' too, Troth's own among them.", negative="")] = False,
    reason: Why = "unspecified",
    note: Note = "",
    yes: Annotated[bool, Parameter(help="Do it. Without this, only what it would hit is shown.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Revoke all certificates that fit every option given, for good. Shows what it would hit unless --yes is given."""
    body = {
        "subject": subject, "profile": profile, "authority": authority, "issued_after": issued_after or None,
        "issued_before": issued_before or None, "serials": serials_in(serials), "reason": _REASONS[reason],
        "note": note, "protected": protected,
    }  # fmt: skip
    doing = yes or propose
    found = Api.at(data).post("/certificates/revoke-many", body, dry_run="false" if doing else "true", **query(propose))
    if output == "json":
        return as_json(found)
    if doing:
        print(f"Revoking {found['certificates']} certificates, order {found['bulk']}.")
        return 0
    print("This would revoke, for good:\n")
    for line in found["lines"]:
        print(f"  {plain(line)}")
    print("\nNothing was done. Add --yes to do it.")
    return 0


def _act(certificate: str, verb: str, body: dict[str, Any], data: Path | None, output: Output) -> int:
    one = Api.at(data).post(f"/certificates/{segment(certificate)}/{verb}", body)
    return as_json(one) if output == "json" else _tell(one)
