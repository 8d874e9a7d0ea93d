"""``troth est``: the EST door."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import listed, when

app = App(name="est", help="EST: certificates for what speaks no ACME.", help_format="plaintext")


@app.command
def labels(*, data: Data = None, output: Output = "text") -> int:
    """List the labels, with the profile of each and who may ask besides enrolments."""
    found = Api.at(data).get("/est/labels")
    rows = [
        (one["name"] + (" (default)" if one["default"] else ""), one["profile"], one["bootstrap"], one["from_profiles"],
         one["server_keygen"], one["channel_binding"], one["url"])
        for one in found
    ]  # fmt: skip
    head = ("label", "profile", "foreign certificates", "from profiles", "makes keys", "channel binding", "url")
    return listed(found, output, head, rows, empty="EST is off. Set est.enabled.")


@app.command
def certificates(
    enrolment: Annotated[str, Parameter(help="Identifier of the enrolment.")],
    *,
    cursor: str = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List what an enrolment has brought by EST, the newest first."""
    page = Api.at(data).get(f"/enrolments/{segment(enrolment)}/certificates", cursor=cursor, limit=limit)
    rows = [
        (one["id"], one["label"], one["status"], when(one["issued_at"]), when(one["not_after"]), one["names"])
        for one in page["items"]
    ]
    return listed(page, output, ("id", "label", "status", "issued", "until", "names"), rows, empty="None yet.")
