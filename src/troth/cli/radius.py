"""``troth radius``: what happened when somebody wanted to join a network, and what devices are shown there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when
from troth.kit.errors import TrothError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

app = App(
    name="radius",
    help="Who wanted to join a network, what came of it, and what devices are shown.",
    help_format="plaintext",
)


Pem = Annotated[bool, Parameter(help="Print the root that devices are to trust, and no more.", negative="")]

#: The journal carries an attempt over within about a second of its answer, on a busy machine a few.
_NONE = "No conversation is found. One that has just ended is here within a few seconds."

Kind = Literal["wpa_supplicant", "networkmanager", "mobileconfig", "windows"]


@app.command
def conversations(
    *,
    mac: Annotated[str | None, Parameter(help="MAC address, in any spelling.")] = None,
    user: Annotated[str | None, Parameter(help="Name in the certificate, exactly.")] = None,
    serial: Annotated[str | None, Parameter(help="Serial number of the certificate, hexadecimal.")] = None,
    network: Annotated[str | None, Parameter(help="Name of the network.")] = None,
    correlation: Annotated[str | None, Parameter(help="Correlation id from a log.")] = None,
    outcome: Annotated[Literal["allow", "restrict", "quarantine", "deny"] | None, Parameter(help="Only these.")] = None,
    limit: Annotated[int, Parameter(help="So many at most.")] = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List attempts to join a network, the newest first."""
    asked = {"mac": mac, "user": user, "serial": serial, "network": network, "correlation": correlation,
             "outcome": outcome}  # fmt: skip
    chosen = {name: value for name, value in asked.items() if value} | {"limit": str(limit)}
    found = Api.at(data).get("/network/conversations", **chosen)
    rows = [
        (when(one["at"]), one["network"] or "–", one["user_name"] or one["identity"], one["mac"] or "–", one["outcome"],
         one["reason"], one["id"])
        for one in found
    ]  # fmt: skip
    head = ("when", "network", "who", "mac", "outcome", "reason", "id")
    return listed(found, output, head, rows, empty=_NONE)


@app.command
def identity(
    *,
    pem: Pem = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show the server's certificate, and what devices must be told to trust."""
    one = Api.at(data).get("/network/identity")
    if output == "json":
        return as_json(one)
    renewed = when(one["renewed_at"]) if one["renewed_at"] else "by whoever keeps its file"
    second = one["second"]
    nothing = {"subject": "", "sha256": "", "pem": ""}
    anchor, other = one["anchor"] or nothing, (second or {}).get("anchor") or nothing
    if pem:
        print(anchor["pem"], end="")
        if other["pem"] != anchor["pem"]:
            print(other["pem"], end="")
        return 0 if anchor["pem"] else 1
    facts(
        [("Name", one["name"]), ("SHA-256", one["sha256"]), ("Serial number", one["serial"]), ("Issuer", one["issuer"]),
         ("From", when(one["not_before"])), ("Until", when(one["not_after"])), ("Renewed", renewed)]
    )  # fmt: skip
    if second:
        print("\nShown to devices that do not do ECDSA:\n")
        facts(
            [("SHA-256", second["sha256"]), ("Serial number", second["serial"]), ("Issuer", second["issuer"]),
             ("Until", when(second["not_after"])), ("Root", other["subject"]), ("Root's SHA-256", other["sha256"])]
        )  # fmt: skip
    print("\nWhat devices must be told (root.pem: `troth radius identity --pem`):\n")
    facts([("Root", anchor["subject"]), ("SHA-256", anchor["sha256"]), ("Server name", one["name"])])
    print("\nwpa_supplicant:\n")
    for line in one["supplicant"].splitlines():
        print(f"    {plain(line)}")
    return 0


@app.command
def show(
    conversation: Annotated[str, Parameter(help="Id of the conversation.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show one attempt, line by line: what was offered, what was seen, which condition failed, what was sent."""
    one = Api.at(data).get(f"/network/conversations/{segment(conversation)}")
    if output == "json":
        return as_json(one)
    facts(
        [("When", when(one["at"])), ("Network", one["network"] or "none"), ("Access server", one["nas"]),
         ("SSID", one["ssid"]), ("MAC", one["mac"]), ("Outer identity", one["identity"]),
         ("Who", one["user_name"]), ("Method", f"{one['method']} {one['tls']}"), ("Serial number", one["serial"]),
         ("Outcome", one["outcome"]), ("Place", one["place"]), ("Reason", one["reason"]), ("Fix", one["fix"]),
         ("Correlation", one["correlation"])]
    )  # fmt: skip
    print()
    for step in one["steps"]:
        print(f"{step['at']:>7} ms  {plain(step['said'])}")
    return 0


@app.command
def supplicant(
    *,
    kind: Annotated[Kind, Parameter(help="For whom.")],
    server_name: Annotated[
        list[str], Parameter(help="Name in the certificate of the RADIUS server. Repeatable.", negative=())
    ],
    ca: Annotated[Path, Parameter(help="File (PEM) with the roots that may stand above the server, and no others.")],
    ssid: Annotated[str | None, Parameter(help="Name of the wireless network. Without it: wired ports.")] = None,
    identity: Annotated[str, Parameter(help="Outer identity, which everybody on the way can read.")] = "anonymous",
    certificate: Annotated[str, Parameter(help="Its certificate, on the device (Linux).")] = "/etc/troth/device.pem",
    key: Annotated[str, Parameter(help="Its key, on the device (Linux).")] = "/etc/troth/device.key",
    ca_path: Annotated[str, Parameter(help="The roots, on the device (Linux).")] = "/etc/troth/radius-root.pem",
    acme_directory: Annotated[str, Parameter(help="ACME directory for the device's certificate (Apple).")] = "",
    client_identifier: Annotated[str, Parameter(help="What that knows the device by (Apple).")] = "",
) -> int:
    """Print the configuration of a device that joins by EAP-TLS: it holds no secret, and trusts one server alone."""
    from troth.radius.supplicants import apple, linux, windows
    from troth.radius.supplicants.model import Joining

    one = Joining(
        ssid=ssid.encode() if ssid is not None else None, server_names=tuple(server_name),
        roots=_roots(ca), identity=identity, certificate=certificate, key=key, ca=ca_path,
    )  # fmt: skip
    if kind == "mobileconfig":
        written = apple.mobileconfig(one, acme_directory=acme_directory, client_identifier=client_identifier).decode()
    elif kind == "windows":
        written = windows.windows(one).decode()
    else:
        written = linux.wpa_supplicant(one) if kind == "wpa_supplicant" else linux.network_manager(one)
    print(written, end="")
    return 0


def _roots(path: Path) -> tuple[Certificate, ...]:
    from troth.radius.supplicants.model import ROOTS_OCTETS, roots_in

    try:
        with path.open("rb") as file:
            return roots_in(file.read(ROOTS_OCTETS + 1))
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error}") from error
