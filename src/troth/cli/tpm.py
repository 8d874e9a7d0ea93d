"""``troth tpm``: which TPM belongs to which device, so that its attestation keys may be certified."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="tpm", help="TPMs, and the devices they belong to.", help_format="plaintext")

_DIGITS = frozenset("0123456789abcdefABCDEF:")
Ek = Annotated[str, Parameter(help="SHA-256 of its endorsement key, as `troth tpm list` shows it.")]


@app.command
def register(
    *,
    device: Annotated[str, Parameter(help="A device of the directory.")] = "",
    ek: Annotated[
        str, Parameter(help="Its endorsement key: SHA-256 in hexadecimal, or a file with the key or its certificate.")
    ] = "",
    identifier: Annotated[str, Parameter(help="Permanent identifier. Default: the device's name.")] = "",
    csv: Annotated[
        Path | None, Parameter(help="A table of many: columns device, ek and, if wanted, identifier, model …")
    ] = None,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Register the TPM of a device, or those of a delivery."""
    body: dict[str, object] = {}
    if csv is not None:
        body["csv"] = _read(csv).decode("utf-8", "replace")
    if device or ek or csv is None:
        body["tpms"] = [{"device": device, "ek": _endorsement(ek), "identifier": identifier}]
    done = Api.at(data).post("/tpms", body, **query(propose))
    if output == "json":
        return as_json(done)
    for one in done["registered"]:
        print(f"Registered: {plain(one)}")
    return 0


@app.command(name="list")
def list_(
    *,
    device: Annotated[str, Parameter(help="Of this device alone.")] = "",
    cursor: Annotated[str, Parameter(help="Where the page before ended.")] = "",
    data: Data = None,
    output: Output = "text",
) -> int:
    """List registered TPMs."""
    found = Api.at(data).get("/tpms", device=device, cursor=cursor)
    rows = [
        (one["ek_sha256"], one["device"], one["identifier"], one["model"], when(one["attested_at"]))
        for one in found["items"]
    ]
    head = ("endorsement key", "device", "identifier", "model", "last attested")
    return listed(found, output, head, rows, empty="No TPM is registered: troth tpm register --device NAME --ek FILE")


@app.command
def show(ek: Ek, *, data: Data = None, output: Output = "text") -> int:
    """Show one."""
    one = Api.at(data).get(f"/tpms/{segment(ek)}")
    if output == "json":
        return as_json(one)
    facts(
        (
            ("endorsement key", one["ek_sha256"]),
            ("device", one["device"]),
            ("identifier", one["identifier"]),
            ("manufacturer", one["manufacturer"]),
            ("model", one["model"]),
            ("version", one["version"]),
            ("registered", f"{when(one['added_at'])} by {one['actor']}"),
            ("last attested", when(one["attested_at"])),
        )
    )
    return 0


@app.command
def remove(ek: Ek, *, propose: Propose = False, data: Data = None, output: Output = "text") -> int:
    """Forget one: none of its attestation keys is certified any more."""
    done = Api.at(data).post(f"/tpms/{segment(ek)}/remove", **query(propose))
    if output == "json":
        return as_json(done)
    print(f"Forgotten: {plain(done['ek_sha256'])}")
    return 0


def _endorsement(text: str) -> str:
    """What the API takes: digits as they are, else what the file holds."""
    if set(text) <= _DIGITS:
        return text
    found = _read(Path(text))
    return found.decode() if found.lstrip().startswith(b"-----BEGIN") else b64encode(found).decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error.strerror}") from error
