"""``troth signal``: signals that nobody could be told of, and those that were refused."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, listed, plain, when

app = App(name="signal", help="Signals about nobody we know, and refused ones.", help_format="plaintext")

Id = Annotated[str, Parameter(help="Its id, as the list shows it.")]


@app.command
def unresolved(*, before: str = "", data: Data = None, output: Output = "text") -> int:
    """List signals that name nobody we know, or several. They are kept until somebody says whom they mean."""
    found = Api.at(data).get("/signals/unresolved", **({"before": before} if before else {}))
    rows = [
        (one["id"], one["feed"], one["kind"], f"{one['system']} {one['value']}", "several" if one["several"] else
         "nobody", when(one["at"]))
        for one in found
    ]  # fmt: skip
    head = ("id", "feed", "kind", "names", "which is", "taken")
    return listed(found, output, head, rows, empty="Every signal named somebody.")


@app.command
def strangers(*, data: Data = None, output: Output = "text") -> int:
    """List whom connectors report and nobody knows."""
    found = Api.at(data).get("/signals/strangers")
    rows = [
        (one["feed"], one["system"], one["value"], "several" if one["several"] else "nobody", one["reports"],
         when(one["last_at"]))
        for one in found
    ]  # fmt: skip
    head = ("feed", "system", "value", "which is", "reports", "last")
    return listed(found, output, head, rows, empty="Everybody who is reported is known.")


@app.command
def refused(*, data: Data = None, output: Output = "text") -> int:
    """List signals that were accepted and then refused, and items that could not be read."""
    found = Api.at(data).get("/signals/refused")
    rows = [(one["id"], one["feed"], one["code"], one["detail"], when(one["accepted_at"])) for one in found]
    return listed(found, output, ("id", "feed", "code", "detail", "accepted"), rows, empty="Nothing was refused.")


@app.command
def bind(
    id: Id,
    subject: Annotated[str, Parameter(help="Whom it means: an id, a name, or kind:name.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say whom an unresolved signal means. Its name is bound, and all signals that name the same are taken again."""
    done = Api.at(data).post(f"/signals/unresolved/{segment(id)}/bind", {"subject": subject})
    if output == "json":
        return as_json(done)
    print(f"{plain(done['system'])} {plain(done['value'])} is bound; {done['signals']} signals are taken again.")
    return 0


@app.command(name="bind-name")
def bind_name(
    system: Annotated[str, Parameter(help="Whose name it is: crowdstrike.aid, entra.device, serial …")],
    value: Annotated[str, Parameter(help="The name there.")],
    subject: Annotated[str, Parameter(help="Whom it means: an id, a name, or kind:name.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say whom a name of another system means."""
    done = Api.at(data).post("/signals/bind", {"system": system, "value": value, "subject": subject})
    if output == "json":
        return as_json(done)
    print(f"{plain(done['system'])} {plain(done['value'])} is bound; {done['signals']} signals are taken again.")
    return 0


@app.command
def aside(id: Id, *, reason: str, data: Data = None) -> int:
    """Say that an unresolved signal means nobody here; it is listed no more."""
    Api.at(data).post(f"/signals/unresolved/{segment(id)}/aside", {"note": reason})
    print("Set aside.")
    return 0


@app.command
def retry(id: Id, *, data: Data = None) -> int:
    """Take a refused signal again."""
    Api.at(data).post(f"/signals/refused/{segment(id)}/retry")
    print("It is taken again.")
    return 0
