"""``troth inventory``: certificates that agents found on their hosts."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api
from troth.cli.options import Data, Output
from troth.cli.show import listed, when

app = App(name="inventory", help="Certificates that agents found on their hosts.", help_format="plaintext")

Days = Annotated[int | None, Parameter(help="Only what ends within so many days, or has ended.")]
Elsewhere = Annotated[bool, Parameter(help="Only what was not issued here.", negative=())]
UnknownKey = Annotated[bool, Parameter(help="Only keys for which nothing was issued here.", negative=())]
Gone = Annotated[bool, Parameter(help="Also what the latest reports do not show any more.", negative=())]
Host = Annotated[str, Parameter(help="Only of this host: its identifier.")]
Limit = Annotated[int, Parameter(help="How many at most, up to 500.")]


@app.command(name="list")
def list_(
    *,
    days: Days = None,
    elsewhere: Elsewhere = False,
    unknown_key: UnknownKey = False,
    gone: Gone = False,
    host: Host = "",
    limit: Limit = 100,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List found certificates, each place apart, in the order of expiry."""
    asked = {"elsewhere": elsewhere, "unknown_key": unknown_key, "gone": gone, "days": days, "host": host}
    given = {
        name: str(value).lower() for name, value in asked.items() if value is not None and value not in (False, "")
    }
    found = Api.at(data).get("/inventory/certificates", limit=limit, **given)["items"]
    rows = [
        (one["subject"] or ", ".join(one["names"][:3]), when(one["not_after"]), one["host"], one["place"],
         "here" if one["certificate_id"] else one["issuer"], "with its key" if one["has_key"] else "")
        for one in found
    ]  # fmt: skip
    head = ("certificate", "ends", "host", "place", "issued by", "")
    return listed(found, output, head, rows, empty="No agent has found such a certificate.")


@app.command
def hosts(*, data: Data = None, output: Output = "text") -> int:
    """List hosts whose agents report, the one that was silent longest first."""
    found = Api.at(data).get("/inventory/hosts")
    rows = [
        (one["host"], when(one["received_at"]), one["certificates"], one["unreadable"],
         ", ".join(f"{store['name']} {'?' if store['roots'] is None else store['roots']}" for store in one["stores"]))
        for one in found
    ]  # fmt: skip
    head = ("host", "last report", "certificates", "unreadable", "trust stores")
    return listed(found, output, head, rows, empty="No agent has reported.")
