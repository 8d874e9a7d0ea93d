"""``troth approver``: those whose passkeys are pinned in the signer.

A passkey is made in a browser, on the page Approvers. The first two persons' are confirmed here, by the owner of the
signer's data directory, since there is nobody yet who could approve them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from troth.access import passkeys
from troth.assembly.context import signer_socket
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.api import Api, segment
from troth.cli.errors import NOT_CONFIRMED
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, plain, table, when
from troth.kit import config as configuration
from troth.kit.errors import TrothError
from troth.pki.signer import acts
from troth.pki.signer.client import SignerClient

app = App(name="approver", help="Persons whose passkeys are pinned in the signer.", help_format="plaintext")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List whose passkeys are pinned, as the signer itself says."""
    found = Api.at(data).get("/approvers")
    if output == "json":
        return as_json(found)
    rows = [(one["person"], one["label"], one["fingerprint"], when(one["added_at"])) for one in found["approvers"]]
    table(("person", "passkey", "number", "since"), rows, empty="Nobody is pinned.")
    persons = len(found["persons"])
    if persons < 2:
        print(f"\nThe signer asks for no approval before two persons are pinned; {persons} is." if persons else "")
        print("Each makes a passkey on the dashboard's page Approvers.")
    else:
        print(f"\n{found['needed']} of {persons} persons must approve what the signer judges.")
    return 0


@app.command
def confirm(
    proposal: Annotated[str, Parameter(help="Identifier of the proposal that the dashboard shows.")],
    *,
    yes: Annotated[bool, Parameter(help="The number was compared already.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Pin one of the first two persons' passkeys. For the owner of the signer's data directory alone."""
    api = Api.at(data)
    found = api.get(f"/approvals/{segment(proposal)}")
    payload = json.loads(found["payload"])
    if found["kind"] != "approver.add" or found["state"] != "waiting":
        raise TrothError(NOT_CONFIRMED, f"{found['kind']}, {found['state']}: no passkey that waits to be pinned")
    party = api.get("/approvers")
    # Told from the browser's answer itself, which the signer verifies and pins, not from what the server says of it.
    relying = passkeys.RelyingParty(party["rp_id"], tuple(party["origins"]))
    fresh = passkeys.verify_registration(relying, passkeys.parse(json.loads(payload["response"])))
    facts(
        [
            ("Person", payload["person"]), ("Passkey", payload["label"]),
            ("Number", acts.fingerprint(fresh.public_key)),
            ("For", f"{party['rp_id']}, at {', '.join(party['origins'])}"), ("Proposed by", found["actor"]),
        ]
    )  # fmt: skip
    if not yes and not _agreed(f"Does {plain(payload['person'])} see the same number? Type yes: "):
        raise TrothError(NOT_CONFIRMED, "it was not said that the number is the same")
    layout = Layout.at(data or default_data_dir())
    asyncio.run(_pin(layout, payload, party))
    closed = api.post("/approvers/confirmed", {"proposal": found["id"]})
    if output == "json":
        return as_json(closed)
    print(f"Pinned. {plain(payload['person'])} can approve what the signer judges.")
    return 0


@app.command
def remove(
    passkey: Annotated[str, Parameter(help="Its number, as `troth approver list` shows it, or its whole id.")],
    *,
    data: Data = None,
) -> int:
    """Propose to unpin a passkey."""
    api = Api.at(data)
    wanted = passkey.replace(" ", "").lower()
    known = [(one["credential_id"], one["fingerprint"].replace(" ", "")) for one in api.get("/approvers")["approvers"]]
    found = [one for one, head in known if wanted in (one, head)]
    if len(found) != 1:
        raise TrothError(NOT_CONFIRMED, f"{len(found)} pinned passkeys have this number")
    api.post(f"/approvers/{segment(found[0])}/remove", {})
    return 0


@app.command
def number(
    persons: Annotated[int, Parameter(help="How many pinned persons must approve, the proposer included.")],
    *,
    data: Data = None,
) -> int:
    """Propose how many must approve."""
    Api.at(data).post("/approvers/number", {"needed": persons})
    return 0


async def _pin(layout: Layout, payload: dict[str, Any], party: dict[str, Any]) -> None:
    config = configuration.load(layout.root)
    async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
        known = {one.credential_id.hex() for one in (await signer.approvers()).approvers}
        if payload["credential_id"] in known:
            return  # by a confirmation that was cut short
        response = payload["response"].encode()
        await signer.pin_approver(payload["person"], payload["label"], response, party["rp_id"], party["origins"])


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() == "yes"
    except EOFError:
        return False
