"""``troth authority``: who signs what."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, table, when

app = App(name="authority", help="Who signs what: the authorities and their CRLs.", help_format="plaintext")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the authorities, each below the one that certified it."""
    found = Api.at(data).get("/authorities")
    depth: dict[str, int] = {}
    for one in found:
        depth[one["slug"]] = depth.get(one["parent"], -1) + 1
    rows = [
        ("  " * depth[one["slug"]] + one["slug"], one["state"], one["issuer_classes"] or one["kind"],
         one["key_algorithm"], one["custodian"], when(one["not_after"]), when(one["crl_next_update"]))
        for one in found
    ]  # fmt: skip
    head = ("authority", "state", "issues for", "key", "held by", "ends", "next CRL by")
    return listed(found, output, head, rows, empty="No authority. The first start makes them: troth up")


@app.command
def show(
    slug: Annotated[str, Parameter(help="The authority's short name, as in `troth authority list`.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show one authority: its certificate, its key and limits, its CRLs."""
    one = Api.at(data).get(f"/authorities/{segment(slug)}")
    if output == "json":
        return as_json(one)
    days = None if one["max_validity_seconds"] is None else f"{one['max_validity_seconds'] // 86_400} days"
    facts(
        (
            ("Name", one["name"]),
            ("Kind", f"{one['kind']}{', trial, online-born' if one['trial'] else ''}"),
            ("State", one["state"]),
            ("Issues for", one["issuer_classes"]),
            ("Below", one["parent"]),
            ("Subject", one["subject"]),
            ("Serial number", one["serial"]),
            ("SHA-256", one["sha256"]),
            ("In force", f"{when(one['not_before'])} until {when(one['not_after'])}"),
            ("Key", one["key_algorithm"]),
            ("Held by", one["custodian"]),
            ("Certifies", one["usages"]),
            ("For at most", days),
            ("Name constraints", one["name_constraints"]),
            ("Certificates", one["certificates"] if one["kind"] == "issuing" else None),
            ("Certificate at", one["ca_issuers_url"]),
            ("OCSP at", one["ocsp_url"]),
            ("CRL at", one["crl_url"]),
        )
    )
    print()
    rows = [
        (crl["kind"], crl["shard"], crl["number"], crl["entries"], when(crl["this_update"]), when(crl["next_update"]))
        for crl in one["crls"]
    ]
    table(("crl", "shard", "number", "entries", "made", "next by"), rows, empty="No CRL published.")
    return 0
