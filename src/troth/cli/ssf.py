"""``troth ssf``: streams of shared signals, and events about many at once."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.receiver import app as receiver
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

app = App(name="ssf", help="Shared signals (OpenID SSF, CAEP, RISC).", help_format="plaintext")
stream = App(name="stream", help="Streams from transmitters.", help_format="plaintext")
wide = App(name="wide", help="Events about many at once, which wait for a person.", help_format="plaintext")
app.command(stream)
app.command(wide)
app.command(receiver)

Name = Annotated[str, Parameter(help="Name of the stream.")]
Event = Annotated[str, Parameter(help="Identifier of the event.")]
SecretFile = Annotated[
    Path | None, Parameter(help="File with the client secret, private key or token; - for standard input.")
]
_PAUSE = 0.5


@stream.command
def create(
    name: Name,
    *,
    issuer: Annotated[str, Parameter(help="The transmitter's issuer URL.")],
    feed: Annotated[str, Parameter(help="The feed it speaks for. Default: the stream's own name.")] = "",
    delivery: Annotated[Literal["push", "poll"], Parameter(help="How tokens come.")] = "poll",
    dialect: Annotated[
        Literal["standard", "okta", "jamf", "google"], Parameter(help="How its events are worded.")
    ] = "standard",
    client_id: Annotated[str, Parameter(help="Our OAuth client id. Without one, the secret is a token.")] = "",
    token_url: Annotated[str, Parameter(help="Where access tokens are had.")] = "",
    event: Annotated[tuple[str, ...], Parameter(help="Only these types, by URI or short name.", negative=())] = (),
    audience: Annotated[tuple[str, ...], Parameter(help="For whom tokens must be.", negative=())] = (),
    secret_file: SecretFile = None,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Define a stream, keep its secret, and make it at its transmitter."""
    auth = "client_credentials" if client_id else "token" if secret_file else "none"
    definition: dict[str, Any] = {
        "name": name, "feed": feed or name, "issuer": issuer, "delivery": delivery, "dialect": dialect, "auth": auth,
        "client_id": client_id, "token_url": token_url, "events": list(event), "audience": list(audience),
    }  # fmt: skip
    api, secret = Api.at(data), None if secret_file is None else _secret(secret_file)
    api.post("/apply", f"ssf_streams:\n  - {json.dumps(definition)}\n", **query(propose))
    if secret is not None:
        api.post(f"/ssf/streams/{segment(name)}/secret", {"secret": secret})
    return _shown(api.post(f"/ssf/streams/{segment(name)}/connect"), output)


@stream.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List streams."""
    found = Api.at(data).get("/ssf/streams")
    rows = [
        (one["name"], one["state"], one["issuer"], one["delivery"], one["feed"], when(one["heard_at"]),
         when(one["verified_at"]), one["error"])
        for one in found
    ]  # fmt: skip
    head = ("name", "state", "issuer", "delivery", "feed", "heard", "verified", "error")
    return listed(found, output, head, rows, empty="No stream. Make one: troth ssf stream create")


@stream.command
def show(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """Show one stream, with how its tokens ended."""
    return _shown(Api.at(data).get(f"/ssf/streams/{segment(name)}"), output)


@stream.command
def tokens(
    name: Name,
    *,
    limit: Annotated[int, Parameter(help="How many at most, up to 500.")] = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List what came over a stream, the newest first."""
    found = Api.at(data).get(f"/ssf/streams/{segment(name)}/tokens", limit=limit)["items"]
    rows = [(when(one["received_at"]), one["type"], one["outcome"], one["detail"]) for one in found]
    return listed(found, output, ("received", "event", "outcome", ""), rows, empty="Nothing has come.")


@stream.command
def secret(
    name: Name,
    *,
    file: Annotated[Path, Parameter(help="File with the secret; - for standard input.", allow_leading_hyphen=True)],
    data: Data = None,
    output: Output = "text",
) -> int:
    """Keep the credential by which the transmitter knows us."""
    return _shown(Api.at(data).post(f"/ssf/streams/{segment(name)}/secret", {"secret": _secret(file)}), output)


@stream.command
def connect(
    name: Name,
    *,
    replace: Annotated[bool, Parameter(help="Put the definition in the place of all there is.", negative=())] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Make the stream at its transmitter, or bring it into the defined form."""
    asked = {"replace": "true"} if replace else {}
    return _shown(Api.at(data).post(f"/ssf/streams/{segment(name)}/connect", **asked), output)


@stream.command
def verify(
    name: Name,
    *,
    timeout: Annotated[int, Parameter(help="Seconds to wait for the event.")] = 60,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Ask for a verification event, and wait until it has come. Exit code 1 if it does not."""
    api, place = Api.at(data), f"/ssf/streams/{segment(name)}"
    before = api.get(place)["verified_at"]
    found = api.post(f"{place}/verify")
    until = time.monotonic() + timeout
    while found["verified_at"] == before and time.monotonic() < until:
        time.sleep(_PAUSE)
        found = api.get(place)
    if found["verified_at"] == before:
        print(f"troth: no verification event came within {timeout} s; what it says meanwhile:", file=sys.stderr)
        _shown(found, output)
        return 1
    return _shown(found, output)


@stream.command
def pause(name: Name, *, reason: str = "", data: Data = None, output: Output = "text") -> int:
    """Have the transmitter hold its events back."""
    return _status(name, "paused", reason, data, output)


@stream.command
def resume(name: Name, *, reason: str = "", data: Data = None, output: Output = "text") -> int:
    """Let the transmitter send again."""
    return _status(name, "enabled", reason, data, output)


@stream.command
def disable(name: Name, *, reason: str = "", data: Data = None, output: Output = "text") -> int:
    """Have the transmitter send nothing and keep nothing."""
    return _status(name, "disabled", reason, data, output)


@stream.command
def subject(
    name: Name,
    identifier: Annotated[str, Parameter(help='A subject identifier: {"format": "email", "email": "a@example.com"}.')],
    *,
    remove: Annotated[bool, Parameter(help="No events about it any more.", negative=())] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Ask for events about a subject, where the transmitter sends none by itself."""
    try:
        told = json.loads(identifier)
    except ValueError as error:
        raise TrothError(UNREADABLE, f"the identifier is no JSON: {error}") from error
    asked = {"subject": told, "add": not remove}
    return _shown(Api.at(data).post(f"/ssf/streams/{segment(name)}/subjects", asked), output)


@stream.command
def header(name: Name, *, data: Data = None, output: Output = "text") -> int:
    """A new authorization header for a stream that was set up by hand, printed this once."""
    made = Api.at(data).post(f"/ssf/streams/{segment(name)}/header")
    if output == "json":
        return as_json(made)
    print(made["header"])
    return 0


@stream.command
def delete(
    name: Name,
    *,
    only_here: Annotated[bool, Parameter(help="Do not ask the transmitter.", negative=())] = False,
    data: Data = None,
) -> int:
    """End the stream at its transmitter and here."""
    Api.at(data).post(f"/ssf/streams/{segment(name)}/delete", {"only_here": only_here})
    print(f"The stream {plain(name)} has ended. What it raised stays raised until a person clears it.")
    return 0


@wide.command(name="list")
def list_wide(*, data: Data = None, output: Output = "text") -> int:
    """List events about many at once, oldest first."""
    found = Api.at(data).get("/ssf/waiting")
    rows = [
        (one["id"], one["stream"], one["subject"], ", ".join(one["signals"]), when(one["observed_at"])) for one in found
    ]
    return listed(found, output, ("id", "stream", "about", "says", "observed"), rows, empty="Nothing waits.")


@wide.command
def act(
    event: Event,
    *,
    yes: Annotated[bool, Parameter(help="Do it; without this, only show what it would hit.", negative=())] = False,
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say it of everybody in the feed's scope, within the feed's caps."""
    api, place = Api.at(data), f"/ssf/waiting/{segment(event)}"
    if not yes and not propose:
        found = api.get(place)
        if output == "json":
            return as_json(found)
        print(f"{', '.join(found['signals'])} of {plain(found['subject'])}, which {found['stream']} says.")
        print(f"It would be said of {found['subjects']} subjects in the scope of the feed {found['feed']}.")
        print("Nothing was done. Do it: --yes")
        return 0
    told = api.post(f"{place}/act", **query(propose))
    if output == "json":
        return as_json(told)
    print(f"It is being said of {told['subjects']} subjects, within the feed's cap.")
    return 0


@wide.command
def dismiss(event: Event, *, data: Data = None) -> int:
    """Drop it."""
    Api.at(data).post(f"/ssf/waiting/{segment(event)}/dismiss")
    print("Dismissed.")
    return 0


def _status(name: str, status: str, reason: str, data: Data, output: Output) -> int:
    asked = {"status": status, "reason": reason}
    return _shown(Api.at(data).post(f"/ssf/streams/{segment(name)}/status", asked), output)


def _shown(one: dict[str, Any], output: Output) -> int:
    if output == "json":
        return as_json(one)
    facts(
        (
            (
                "Stream",
                f"{one['name']}, {one['state']}" + (f": {one['status_reason']}" if one["status_reason"] else ""),
            ),
            ("Transmitter", one["issuer"]),
            ("Delivery", one["delivery"] + (f" to {one['push_url']}" if one["push_url"] else "")),
            ("Feed", one["feed"]),
            ("Audience", ", ".join(one["audience"])),
            ("Events", ", ".join(one["events"])),
            ("Heard", when(one["heard_at"])),
            ("Verified", when(one["verified_at"])),
            ("Tokens", ", ".join(f"{outcome} {number}" for outcome, number in sorted(one["counts"].items()))),
            ("Error", f"{one['error']} ({when(one['error_at'])})" if one["error"] else ""),
        )
    )
    return 0


def _secret(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error
    return text.strip()
