"""``troth connector``: other people's systems that Troth reads and listens to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, table, when
from troth.kit.errors import TrothError

app = App(name="connector", help="Other systems that Troth reads and listens to.", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the connector.")]
_FAILED = 1


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List connectors: how each is, when it was last heard from, what it lacks."""
    found = Api.at(data).get("/connectors")
    rows = [
        (one["name"], one["title"], one["feed"], one["state"], when(one["last_at"]), _span(one["lag_seconds"]),
         one["signals"], _lack(one))
        for one in found
    ]  # fmt: skip
    head = ("name", "vendor", "feed", "state", "last heard", "lag", "signals", "lacks")
    return listed(found, output, head, rows, empty="No connector. Define one: troth apply -f connectors.yaml")


@app.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show one connector: each of its reads, with cursor, latency and the last failure."""
    one = Api.at(data).get(f"/connectors/{segment(name)}")
    if output == "json":
        return as_json(one)
    facts(
        [("Name", one["name"]), ("Vendor", one["title"]), ("Feed", one["feed"]), ("Address", one["address"]),
         ("Client", one["client_id"]), ("State", one["state"]), ("Why paused", one["reason"]), ("Lacks", _lack(one)),
         ("Secrets", sorted(one["secrets"])), ("Send to", one["push_url"])]
    )  # fmt: skip
    print()
    rows = [
        (read["name"], read["state"], when(read["last_at"]), f"{read['latency_ms']} ms" if read["latency_ms"] else "–",
         read["signals"], read["facts"], read["failures"], read["code"], read["detail"])
        for read in one["reads"]
    ]  # fmt: skip
    head = ("read", "state", "last", "took", "signals", "facts", "failures", "code", "detail")
    table(head, rows, empty="Nothing was read yet.")
    return 0


@app.command(name="test")
def probe(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Ask for as little as possible of everything it reads; print what is granted against what is needed."""
    found = Api.at(data).post(f"/connectors/{segment(name)}/test")
    if output == "json":
        as_json(found)
        return 0 if found["good"] else _FAILED
    print(f"{plain(found['vendor'])} at {plain(found['address'])}")
    rows = [
        (probe["read"], probe["scope"], _granted(probe["granted"]), f"{probe['milliseconds']} ms",
         probe["code"] or "good", probe["detail"])
        for probe in found["probes"]
    ]  # fmt: skip
    table(("read", "needs", "granted", "took", "result", "detail"), rows, empty="It only listens; nothing is read.")
    if found["skew_seconds"] is not None:
        print(f"Its clock is {abs(found['skew_seconds'])} s {'ahead' if found['skew_seconds'] >= 0 else 'behind'}.")
    for fix in dict.fromkeys(probe["fix"] for probe in found["probes"] if probe["fix"]):
        print(f"Fix: {plain(fix)}")
    return 0 if found["good"] else _FAILED


@app.command
def secret(
    name: Name,
    *,
    file: Annotated[Path, Parameter(help="File with the secret; - for standard input.")],
    kind: Annotated[str, Parameter(help="Kind of secret: private_key, push … Default: the vendor's usual one.")] = "",
    leaked: Annotated[
        bool, Parameter(help="A former shared secret stops at once, not in 24 hours.", negative="")
    ] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Hand over a secret of the other system's. It is sealed at once and never shown again."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error
    done = Api.at(data).post(f"/connectors/{segment(name)}/secret", {"secret": text, "kind": kind, "leaked": leaked})
    if output == "json":
        return as_json(done)
    print(f"Connector {plain(name)} has its {plain(done['kind'])}. Try it: troth connector test {plain(name)}")
    return 0


@app.command(name="try")
def try_(
    name: Name,
    *,
    file: Annotated[Path, Parameter(help="A message as the other system sends it (JSON).")],
    data: Data = None,
    output: Output = "text",
) -> int:
    """Print what a message would become by the connector's mapping. Nothing is written."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error
    found = Api.at(data).post(f"/connectors/{segment(name)}/try", text)
    if output == "json":
        return as_json(found)
    for one in found:
        subject = one["subject"] or ("several subjects" if one["several"] else "nobody known here")
        facts(
            [("Kind", one["kind"]), ("Effect", one["effect"]), ("Level", one["level"]), ("Severity", one["severity"]),
             ("About", one["whom"]), ("That is", subject), ("Cause", one["cause"]),
             ("Observed", when(one["observed_at"])), ("Message", one["message_id"]), ("Evidence", one["evidence"])]
        )  # fmt: skip
    if not found:
        print("It becomes nothing: the mapping passes it over.")
    return 0


@app.command
def pause(name: Name, *, reason: str, data: Data = None, output: Output = "text") -> int:
    """Stop reading and listening. Nothing that it said is taken back."""
    return _done(Api.at(data).post(f"/connectors/{segment(name)}/pause", {"note": reason}), output, "is paused")


@app.command
def resume(name: Name, *, reason: str = "", data: Data = None, output: Output = "text") -> int:
    """Go on where it stopped."""
    return _done(Api.at(data).post(f"/connectors/{segment(name)}/resume", {"note": reason}), output, "goes on")


@app.command
def reread(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Have everything read again; what was taken is not taken twice."""
    return _done(Api.at(data).post(f"/connectors/{segment(name)}/reread"), output, "is read from the beginning")


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """Forget a connector with its secrets. Its feed, and what it has said, stay."""
    Api.at(data).delete(f"/connectors/{segment(name)}")
    print(f"Connector {plain(name)} is gone.")
    return 0


def _done(one: Any, output: Output, what: str) -> int:
    if output == "json":
        return as_json(one)
    print(f"Connector {plain(one['name'])} {what}.")
    return 0


def _lack(one: Any) -> str:
    return " or ".join(one["missing"])


def _span(seconds: int | None) -> str:
    return "–" if seconds is None else f"{seconds} s"


def _granted(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "NO"
