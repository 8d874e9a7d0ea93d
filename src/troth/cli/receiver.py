"""``troth ssf receiver``: who is told of changes of standing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="receiver", help="Who is told of changes of standing (CAEP).", help_format="plaintext")

Name = Annotated[str, Parameter(help="Name of the receiver; its OAuth client id as well.")]
Stream = Annotated[str, Parameter(help="Identifier of the stream to it.")]


@app.command
def add(
    name: Name,
    *,
    audience: Annotated[tuple[str, ...], Parameter(help="What its tokens name.", negative=())],
    event: Annotated[tuple[str, ...], Parameter(help="Only these types (caep.session-revoked).", negative=())] = (),
    group: Annotated[tuple[str, ...], Parameter(help="Only subjects of these groups.", negative=())] = (),
    push_host: Annotated[tuple[str, ...], Parameter(help="Hosts that it may have pushed to.", negative=())] = (),
    push_url: Annotated[str, Parameter(help="Where to push, for a receiver that makes no stream (Okta).")] = "",
    dialect: Annotated[Literal["caep", "okta"], Parameter(help="How events are worded.")] = "caep",
    subject_format: Annotated[
        Literal["email", "iss_sub", "complex"], Parameter(help="How users and devices are named.")
    ] = "complex",
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Let a receiver hear, and print its OAuth credentials, this once."""
    definition: dict[str, Any] = {
        "name": name, "audience": list(audience), "scope": {"groups": list(group)}, "push_hosts": list(push_host),
        "push_url": push_url, "dialect": dialect, "subject_format": subject_format,
    } | ({"events": list(event)} if event else {})  # fmt: skip
    api = Api.at(data)
    api.post("/apply", f"ssf_receivers:\n  - {json.dumps(definition)}\n", **query(propose))
    if push_url:
        print(f"{plain(name)} is pushed to. Set its header: troth ssf receiver header {plain(name)} --file FILE")
        return 0
    return _credentials(api, name, output)


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List receivers, with the streams to them."""
    found = Api.at(data).get("/ssf/receivers")
    rows = [
        (one["name"], ", ".join(one["events"]), stream.get("id", "none yet"), stream.get("delivery", ""),
         stream.get("status", ""), stream.get("waiting", ""), stream.get("refused", ""), stream.get("delivered", ""),
         when(stream.get("delivered_at")), stream.get("error", ""))
        for one in found for stream in one["streams"] or [{}]
    ]  # fmt: skip
    head = ("receiver", "may hear", "stream", "delivery", "status", "waiting", "refused", "delivered", "last", "error")
    return listed(found, output, head, rows, empty="Nobody is told. Let somebody: troth ssf receiver add")


@app.command
def secret(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """New OAuth credentials, printed this once; those got by the former secret end."""
    return _credentials(Api.at(data), name, output)


@app.command
def header(
    name: Name,
    *,
    file: Annotated[Path, Parameter(help="File with the header; - for standard input.", allow_leading_hyphen=True)],
    data: Data = None,
) -> int:
    """Keep the authorization header for a receiver that is pushed to without a stream of its making."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error
    Api.at(data).post(f"/ssf/receivers/{segment(name)}/header", {"header": text.strip()})
    print("Kept, sealed.")
    return 0


@app.command
def pause(stream: Stream, *, reason: str = "", data: Data = None) -> int:
    """Hold back what goes to a receiver; it is told."""
    return _status(stream, "paused", reason, data)


@app.command
def resume(stream: Stream, *, reason: str = "", data: Data = None) -> int:
    """Let it go on."""
    return _status(stream, "enabled", reason, data)


@app.command
def remove(name: Name, *, data: Data = None) -> int:
    """End a receiver, its streams, and what waits for them."""
    Api.at(data).post(f"/ssf/receivers/{segment(name)}/remove")
    print(f"{plain(name)} hears nothing any more.")
    return 0


def _status(stream: str, status: str, reason: str, data: Data) -> int:
    Api.at(data).post(f"/ssf/out/{segment(stream)}/status", {"status": status, "reason": reason})
    print(f"The stream is {status}.")
    return 0


def _credentials(api: Api, name: str, output: Output) -> int:
    made = api.post(f"/ssf/receivers/{segment(name)}/secret")
    if output == "json":
        return as_json(made)
    print(f"client id       {plain(made['client_id'])}")
    print(f"client secret   {made['secret']}")
    print(f"token endpoint  {made['token_endpoint']}")
    return 0
