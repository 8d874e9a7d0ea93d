"""``troth anchor``: roots of others, believed for some purposes and never handed out as ours."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.authority_import import blocks
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when

app = App(name="anchor", help="Roots of others, believed for some purposes.", help_format="plaintext")

Purpose = Annotated[str, Parameter(help="Extended key usage: serverAuth, clientAuth, emailProtection, or dotted.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List foreign trust anchors."""
    found = Api.at(data).get("/trust-anchors")
    rows = [(one["sha256"], one["name"], one["purposes"], when(one["not_after"])) for one in found]
    return listed(found, output, ("sha256", "name", "believed for", "ends"), rows, empty="No foreign root is believed.")


@app.command
def add(
    certificate: Annotated[Path, Parameter(help="The root, PEM or DER.")],
    *,
    purpose: Annotated[tuple[str, ...], Parameter(help="Extended key usage; may be given several times.")],
    data: Data = None,
    output: Output = "text",
) -> int:
    """Believe somebody else's root for some purposes."""
    der = blocks(certificate, "CERTIFICATE")[0]
    body = {"certificate": b64encode(der).decode(), "purposes": list(purpose)}
    done = Api.at(data).post("/trust-anchors", body)
    if output == "json":
        return as_json(done)
    print(f"Believed for {', '.join(purpose)}: {plain(done['sha256'])}")
    return 0


@app.command
def remove(
    sha256: Annotated[str, Parameter(help="Its SHA-256, as `troth anchor list` shows it.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Believe it no more."""
    done = Api.at(data).post(f"/trust-anchors/{segment(sha256)}/remove")
    if output == "json":
        return as_json(done)
    print(f"Not believed any more: {plain(done['sha256'])}")
    return 0


@app.command
def judge(
    chain: Annotated[Path, Parameter(help="A certificate and what is above it: PEM, the certificate first.")],
    *,
    purpose: Purpose,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Tell which anchor vouches for a chain. Revocation is not asked."""
    body = {"chain": [b64encode(one).decode() for one in blocks(chain, "CERTIFICATE")], "purpose": purpose}
    found = Api.at(data).post("/trust-anchors/judge", body)
    if output == "json":
        return as_json(found)
    print(f"Good for {plain(purpose)}: {plain(found['name'])} vouches for it.")
    return 0
