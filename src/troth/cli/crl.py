"""``troth crl``: certificate revocation lists."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, facts, listed, when

app = App(name="crl", help="Certificate revocation lists.", help_format="plaintext")

Authority = Annotated[str, Parameter(help="Name of the authority.")]
Shard = Annotated[int, Parameter(help="Number of the shard, from 0.")]
Shards = Annotated[int, Parameter(help="How many CRLs certificates issued from now on are spread over.")]
Deltas = Annotated[bool, Parameter(help="Publish deltas on change, complete CRLs on schedule only.")]


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the CRLs that are published now."""
    found = Api.at(data).get("/crls")
    rows = [
        (one["authority"], one["shard"], one["kind"], one["number"], one["entries"], _size(one["size"]),
         f"{one['age_seconds']:.0f} s", _seconds(one["build_seconds"]), when(one["next_update"]), one["waiting"])
        for one in found
    ]  # fmt: skip
    head = ("authority", "shard", "kind", "number", "entries", "size", "age", "made in", "next by", "waiting")
    return listed(found, output, head, rows, empty="No CRL is published.")


@app.command
def show(authority: Authority, shard: Shard = 0, *, data: Data = None, output: Output = "text") -> int:
    """Show what is published of one shard."""
    found = [one for one in Api.at(data).get("/crls", authority=authority) if one["shard"] == shard]
    if output == "json":
        return as_json(found)
    for one in found:
        facts(
            [
                ("kind", one["kind"] if one["base_number"] is None else f"delta to {one['base_number']}"),
                ("number", one["number"]),
                ("address", one["url"] or "none"),
                ("made", when(one["this_update"])),
                ("next by", when(one["next_update"])),
                ("entries", one["entries"]),
                ("size", _size(one["size"])),
                ("made in", _seconds(one["build_seconds"])),
                ("changes waiting", one["waiting"]),
            ]
        )
    if not found:
        print(f"No CRL of shard {shard} of {authority} is published.")
    return 0


@app.command
def publish(authority: Authority, shard: Shard = 0, *, data: Data = None, output: Output = "text") -> int:
    """Have a complete CRL made now; the worker publishes it within seconds."""
    one = Api.at(data).post(f"/crls/{segment(authority)}/{shard}/publish", {})
    if output == "json":
        return as_json(one)
    print(f"Asked for: see `troth crl show {authority} {shard}`.")
    return 0


@app.command
def cut(
    authority: Authority,
    shards: Shards,
    *,
    deltas: Deltas = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Spread new certificates over more CRLs, and choose whether there are deltas. Shards are never taken back."""
    body = {"shards": shards, "deltas": deltas}
    one = Api.at(data).post(f"/crls/{segment(authority)}/cut", body, **query(propose))
    if output == "json":
        return as_json(one)
    print(f"{authority}: {one['shards']} shards, {'with' if one['deltas'] else 'without'} deltas.")
    return 0


def _size(octets: int) -> str:
    return f"{octets / 1024:.1f} KiB" if octets < 1 << 20 else f"{octets / 2**20:.1f} MiB"


def _seconds(seconds: float | None) -> str:
    return "imported" if seconds is None else f"{seconds:.3f} s"
