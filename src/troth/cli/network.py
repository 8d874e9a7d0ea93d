"""``troth network``: what an SSID or a port is, and whom it lets in."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="network", help="What an SSID or a port is, and whom it lets in.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the network.")]
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----\s*([A-Za-z0-9+/=\s]+)-----END [A-Z0-9 ]+-----")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the networks: what each matches, whom it admits, where each outcome leads."""
    found = Api.at(data).get("/network/networks")
    rows = [(one["name"], one["matches"], one["admits"], _places(one), one["stale"], one["version"]) for one in found]
    head = ("name", "matches", "admits", "places", "without the stream", "version")
    return listed(found, output, head, rows, empty="No network. Define some: troth apply -f networks.yaml")


@app.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show a network."""
    one = Api.at(data).get(f"/network/networks/{segment(name)}")
    if output == "json":
        return as_json(one)
    definition = one["definition"]
    facts(
        [("Name", one["name"]), ("Description", one["description"]), ("Matches", one["matches"]),
         ("Admits", one["admits"]), ("Policy", definition.get("policy", "the certificate's own")),
         ("Places", _places(one)), ("Without the stream", one["stale"]), ("Breaker", one["breaker"]),
         ("Version", one["version"]), ("Applied", when(one["applied_at"])), ("By", one["applied_by"])]
    )  # fmt: skip
    return 0


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """Forget a network: whoever joins it from then on is refused."""
    Api.at(data).delete(f"/network/networks/{segment(name)}")
    print(f"Network {plain(name)} is gone. Whoever joins it is refused.")
    return 0


@app.command
def breaker(
    name: Name,
    *,
    off: Annotated[bool, Parameter(help="The refusals are right: refuse from now on, for a day.", negative="")],
    note: Annotated[str, Parameter(help="Why; the ledger keeps it.")] = "",
    data: Data = None,
) -> int:
    """Close the admission breaker, which takes the last word where too many would newly be refused for one reason."""
    if off:
        Api.at(data).post(f"/network/networks/{segment(name)}/breaker", {"note": note})
        print(f"Network {plain(name)}: refusals stand from now on.")
    return 0


@app.command
def crls(*, data: Data = None, output: Output = "text") -> int:
    """List the revocation lists of foreign issuers, handed over or fetched."""
    found = Api.at(data).get("/network/crls")
    rows = [
        (one["issuer"], one["anchor"], one["number"], "in force" if one["in_force"] else "ENDED",
         when(one["next_update"]), one["entries"])
        for one in found
    ]  # fmt: skip
    return listed(
        found, output, ("issuer", "below", "number", "state", "ends", "entries"), rows, empty="There is none."
    )


@app.command(name="crl-sources")
def crl_sources(
    *,
    now: Annotated[
        bool, Parameter(help="Have all of them fetched now, in place of listing them.", negative="")
    ] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List where foreign revocation lists are fetched from, and how that goes."""
    api = Api.at(data)
    if now:
        api.post("/network/crl-sources/fetch", {})
        print("The worker looks at all of them within a minute or so.")
        return 0
    found = api.get("/network/crl-sources")
    rows = [
        (one["url"], one["anchor"], one["origin"], one["state"], when(one["checked_at"]) if one["checked_at"] else "–",
         when(one["due"]), one["error"][:80])
        for one in found
    ]  # fmt: skip
    head = ("from", "below", "named by a", "state", "in order", "next", "why not")
    return listed(found, output, head, rows, empty="None: no network names one (foreign: crls, distribution_points).")


@app.command
def crl(
    file: Annotated[Path, Parameter(help="The complete revocation list, PEM or DER.")],
    *,
    anchor: Annotated[str, Parameter(help="Name of the trust anchor that it is below: see `troth anchor list`.")],
    issuer: Annotated[
        tuple[Path, ...],
        Parameter(help="Certificate of the authority that signed it, then of the one above …; none: the anchor."),
    ] = (),
    data: Data = None,
    output: Output = "text",
) -> int:
    """Hand over a revocation list of a foreign issuer."""
    sent = {"anchor": anchor, "crl": _base64(file), "issuers": [_base64(one) for one in issuer]}
    one: Any = Api.at(data).post("/network/crls", sent)
    if output == "json":
        return as_json(one)
    print(f"Taken: number {one['number']} of {plain(one['issuer'])}, {one['entries']} entries, "
          f"in force until {when(one['next_update'])}.")  # fmt: skip
    return 0


def _places(one: Any) -> list[str]:
    return [f"{outcome}: {place}" for outcome, place in one["places"].items()]


def _base64(path: Path) -> str:
    try:
        found = path.read_bytes()
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error}") from error
    pem = _PEM.search(found)
    return b"".join(pem[1].split()).decode() if pem else base64.b64encode(found).decode()
