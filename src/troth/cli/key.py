"""``troth key``: the keys of the signer, and who holds them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from troth.assembly.context import signer_socket
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.api import Api, segment
from troth.cli.blocking import block, blocked, report_compromise
from troth.cli.errors import UNREACHABLE, UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, plain, table, when
from troth.kit import config as configuration
from troth.kit.errors import TrothError
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer.client import SignerClient

app = App(name="key", help="Keys of the signer, and who holds them.", help_format="plaintext")
app.command(block)
app.command(blocked)
app.command(report_compromise, name="report-compromise")

KeyId = Annotated[str, Parameter(help="The key's id, as `troth key list` shows it.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List custodians and keys. Exit code 1 if one of them cannot be used."""
    found = Api.at(data).get("/keys")
    troubled = any(one["trouble"] for one in (*found["custodians"], *found["keys"]))
    if output == "json":
        as_json(found)
        return 1 if troubled else 0
    rows = [
        (one["name"], one["state"], one["keys"], one["algorithms"], _trouble(one["trouble"]))
        for one in found["custodians"]
    ]
    orphans = [(one["name"], orphan) for one in found["custodians"] for orphan in one["orphans"]]
    table(("custodian", "state", "keys", "makes", "trouble"), rows, empty="No custodian.")
    print()
    keys = [
        (one["key_id"], one["purpose"], one["algorithm"], one["custodian"], one["authority"], _trouble(one["trouble"]))
        for one in found["keys"]
    ]
    table(("key", "for", "algorithm", "custodian", "authority", "trouble"), keys, empty="No key.")
    for holder, orphan in orphans:
        print(f"\n{plain(holder)} may hold {plain(orphan)}, which has no record here: its making was cut short.")
        print(f"  It can sign nothing for Troth. Delete it there, then keys/held/{plain(orphan)}.making here.")
    return 1 if troubled else 0


@app.command
def show(key_id: KeyId, *, data: Data = None, output: Output = "text") -> int:
    """Show one key: its public half, its authority, and the evidence of its making."""
    found = Api.at(data).get(f"/keys/{segment(key_id)}")
    if output == "json":
        return as_json(found)
    facts(
        [
            ("Key", found["key_id"]), ("For", found["purpose"]), ("Algorithm", found["algorithm"]),
            ("Custodian", found["custodian"]), ("Made", when(found["created"])), ("SHA-256", found["sha256"]),
            ("Authority", found["authority"] or "none: it signs nothing"), ("Trouble", _trouble(found["trouble"])),
        ]
    )  # fmt: skip
    if found["evidence"]:
        print("\nWhat the custodian said of it when it was made:")
        facts(found["evidence"].items())
    print(f"\n{found['public_key_pem']}", end="")
    return 0


@app.command(name="test")
def sign_once(key_id: KeyId, *, data: Data = None, output: Output = "text") -> int:
    """Have a key sign a nonce now, and verify the signature."""
    found = Api.at(data).post(f"/keys/{segment(key_id)}/test")
    if output == "json":
        return as_json(found)
    print(f"{plain(found['key_id'])} signs, and the signature verifies ({found['milliseconds']} ms).")
    return 0


@app.command
def generate(
    *,
    algorithm: Annotated[KeyAlgorithm | None, Parameter(help="Kind of key. Default: signer.issuing_algorithm.")] = None,
    custodian: Annotated[
        str | None, Parameter(help="`software` or KIND:NAME. Default: signer.issuing_custodian.")
    ] = None,
    propose: Annotated[bool, Parameter(help="Have the pinned approvers approve it.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Make an issuing key. It signs nothing until it is bound to an authority.

    For the data directory's owner alone, who asks the signer directly; with --propose for any administrator.
    """
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)
    kind = algorithm or KeyAlgorithm(config.signer.issuing_algorithm)
    holder = custodian or config.signer.issuing_custodian

    api = Api.at(data)
    wanted = {"algorithm": kind.value, "custodian": holder}
    if propose:
        api.post("/keys", wanted)
        return 0
    told = _tell(api, "/keys/orders", wanted)

    async def make() -> KeyMetadata:
        async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
            return await signer.generate_key(KeyPurpose.ISSUING, kind, holder)

    made = asyncio.run(make())
    if not told or not _tell(api, f"/keys/{segment(made.key_id)}/recorded", {}):
        print("No Troth answers, so the ledger does not tell of it yet. Once it runs:", file=sys.stderr)
        print(f"  troth key record {made.key_id}", file=sys.stderr)
    if output == "json":
        return as_json(msgspec.to_builtins(made))
    print(f"Made {made.key_id} ({kind.value}) with {made.custodian}.")
    facts(made.evidence)
    return 0


@app.command
def record(key_id: KeyId, *, data: Data = None, output: Output = "text") -> int:
    """Write into the ledger that a key was made, where `troth key generate` could not."""
    found = Api.at(data).post(f"/keys/{segment(key_id)}/recorded", {})
    if output == "json":
        return as_json(found)
    print(f"Recorded: {plain(found['key_id'])} ({found['algorithm']}) with {plain(found['custodian'])}.")
    return 0


@app.command
def attach(
    key_id: KeyId,
    certificate: Annotated[Path, Parameter(help="The authority's certificate (PEM).")],
    *,
    issuer_class: Annotated[tuple[IssuerClass, ...], Parameter(help="For whom it issues; may be repeated.")],
    allow_ca: Annotated[bool, Parameter(help="It may sign CA certificates.", negative="")] = False,
    max_validity_days: Annotated[int | None, Parameter(help="Of certificates. Default: as usual for it.")] = None,
    data: Data = None,
) -> int:
    """Propose to bind an issuing key to its authority. The signer does with its pinned approvers' approval."""
    try:
        pem = certificate.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{certificate}: {error}") from error
    body = {"certificate": pem, "issuer_classes": [one.value for one in issuer_class], "allow_ca": allow_ca,
            "max_validity_days": max_validity_days}  # fmt: skip
    Api.at(data).post(f"/keys/{segment(key_id)}/attach", body)
    return 0


def _tell(api: Api, path: str, body: dict[str, str]) -> bool:
    """Whether Troth was told. A signer on a machine of its own has none beside it."""
    try:
        api.post(path, body)
    except TrothError as error:
        if error.reason is not UNREACHABLE:
            raise
        return False
    return True


def _trouble(found: dict[str, str] | None) -> str | None:
    return None if found is None else f"{found['code']}: {found['detail']}"
