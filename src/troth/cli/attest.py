"""``troth attest``: look into attestations of devices, and say whom they must lead to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, facts, listed, plain, table, when
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError

app = App(name="attest", help="Attestations of devices.", help_format="plaintext")
root = App(name="root", help="Whom attestations must lead to, by format.", help_format="plaintext")
status = App(name="status", help="Android's list of revoked attestation certificates.", help_format="plaintext")
app.command(root)
app.command(status)

_MOST = 1_000_000


@app.command
def inspect(
    file: Annotated[Path, Parameter(help="attObj (CBOR or base64url), JSON with attObj, or a PEM chain.")],
    *,
    key_authorization: Annotated[str, Parameter(help="Token, a dot, and the thumbprint of the account's key.")] = "",
    identifier: Annotated[str, Parameter(help="What was ordered: permanent-identifier:VALUE.")] = "",
    root: Annotated[
        Path | None, Parameter(help="PEM of roots to believe beside the makers', for the statement's format.")
    ] = None,
    status_list: Annotated[Path | None, Parameter(help="Android's status list, as its maker publishes it.")] = None,
    every: Annotated[bool, Parameter(help="Also every decoded field.", negative="")] = False,
    at: Annotated[str, Parameter(help="Judge as of then: 2026-11-28T12:00:00Z. Default: now.")] = "",
    output: Output = "text",
) -> int:
    """Decode a statement and hold it against every check, without a server.

    Exit code 1 when a check fails, or cannot be answered.
    """
    from troth.enroll.attest.anchors import merged, read_roots, shipped_roots
    from troth.enroll.attest.examine import examine
    from troth.enroll.attest.model import Known
    from troth.enroll.attest.statement import read_any
    from troth.enroll.attest.statuses import read_statuses
    from troth.enroll.attest.told import attestation_report

    moment = _moment(at)
    statement = read_any(_read(file))
    roots = shipped_roots()
    if root is not None:
        roots = merged(roots, {}, {statement.format: read_roots(_read(root), origin=str(root), at=moment)})
    kind, _, value = identifier.partition(":")
    known = Known(
        at=moment,
        key_authorization=key_authorization or None,
        identifiers=frozenset({(kind, value)}) if identifier else None,
        statuses=None if status_list is None else read_statuses(_read(status_list), moment),
    )
    report = attestation_report(examine(statement, known, roots))
    if output == "json":
        as_json(report)
    else:
        _print(report)
        if every:
            print()
            as_json(report["fields"])
    return 1 if report["verdict"] in ("refused", "unknown") else 0


def _print(report: Any) -> None:
    found = report["root"]
    facts(
        (
            ("format", report["format"]),
            ("verdict", report["verdict"]),
            ("identifiers", ", ".join(f"{one['type']} {one['value']}" for one in report["identifiers"]) or "none"),
            ("vouched for by", "nobody" if found is None else found["name"]),
            ("key", report["key_sha256"] or "none"),
            ("statement", report["sha256"]),
            *((name, str(value)) for name, value in report["facts"].items()),
        )
    )
    print()
    rows = [(one["result"], one["name"], one["expected"], one["got"]) for one in report["checks"]]
    table(("result", "check", "expected", "got"), rows, empty="No check was made.")


@app.command(name="list")
def list_(
    *,
    device: Annotated[str, Parameter(help="Of this device alone.")] = "",
    cursor: Annotated[str, Parameter(help="Where the page before ended.")] = "",
    data: Data = None,
    output: Output = "text",
) -> int:
    """List statements that were judged, the latest first."""
    found = Api.at(data).get("/attestations", device=device, cursor=cursor)
    rows = [
        (one["id"], when(one["at"]), one["device"], one["identifier"], one["format"],
         "attested" if one["attested"] else plain(one["reason"] or "not accepted"))
        for one in found["items"]
    ]  # fmt: skip
    head = ("id", "when", "device", "identifier", "format", "result")
    return listed(found, output, head, rows, empty="No device has attested yet.")


@app.command
def show(
    attestation: Annotated[str, Parameter(help="Its id, as `troth attest list` shows it.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show one with every check."""
    one = Api.at(data).get(f"/attestations/{segment(attestation)}")
    if output == "json":
        return as_json(one)
    facts(
        (
            ("when", when(one["at"])),
            ("device", one["device"]),
            ("asked for", f"{one['identifier_type']} {one['identifier']}"),
            ("mode", one["mode"]),
            ("accepted", "yes" if one["accepted"] else "no"),
            ("reason", one["reason"] or "none"),
            ("detail", one["detail"] or ""),
        )
    )
    if one["report"] is None:
        print("Its report was dropped with age.")
    else:
        _print(one["report"])
    return 0


@root.command(name="list")
def list_roots(*, data: Data = None, output: Output = "text") -> int:
    """List the roots that are pinned for each format."""
    found = Api.at(data).get("/attestation-roots")
    rows = [(one["format"], one["name"], one["sha256"], when(one["not_after"]), one["origin"]) for one in found]
    head = ("format", "root", "sha256", "ends", "from")
    return listed(found, output, head, rows, empty="No root is pinned: no attestation is taken.")


@root.command(name="set")
def set_roots(
    kind: Annotated[str, Parameter(help="Format: apple, tpm, android-key, step.")],
    file: Annotated[Path | None, Parameter(help="PEM of the roots. Without it: the makers' alone.")] = None,
    *,
    reason: Annotated[str, Parameter(help="Why, for the ledger.")],
    only: Annotated[bool, Parameter(help="These alone, and not the makers' beside them.", negative="")] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Pin a format's roots; they vouch for no other format."""
    pem = "" if file is None else _read(file).decode("ascii", "replace")
    body = {"pem": pem, "shipped": not only, "reason": reason}
    done = Api.at(data).post(f"/attestation-roots/{segment(kind)}", body, **query(propose))
    if output == "json":
        return as_json(done)
    print(f"Version {done['version']} of the roots of {plain(done['format'])} counts from now on.")
    return 0


@status.command(name="show")
def show_status(*, data: Data = None, output: Output = "text") -> int:
    """Show how old the list is, and where it came from."""
    one = Api.at(data).get("/attestation-status")
    if output == "json":
        return as_json(one)
    facts((("fetched", when(one["fetched_at"])), ("from", one["source"]), ("entries", str(one["entries"]))))
    return 0


@status.command
def load(
    file: Annotated[Path, Parameter(help="The list as its maker publishes it, fetched lately.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Load a list, where the worker cannot fetch it."""
    one = Api.at(data).post("/attestation-status", {"document": _read(file, most=8_000_000).decode("utf-8", "replace")})
    if output == "json":
        return as_json(one)
    print(f"Loaded: {one['entries']} certificates are listed.")
    return 0


def _moment(text: str) -> datetime:
    if not text:
        return SystemClock().now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise TrothError(UNREADABLE, f"{text!r} is no time: write 2026-11-28T12:00:00Z") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _read(file: Path, most: int = _MOST) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise TrothError(UNREADABLE, f"{file}: {error.strerror}") from error
