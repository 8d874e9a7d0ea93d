"""A whole Troth hears of a disabled account from a transmitter: polled by its worker, and pushed to its listener."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.running import RunningTroth
from tests.support.ssf import RISC, SSF
from tests.support.vendors.ssf_transmitter import FakeTransmitter
from tests.support.vendors.ssf_transmitter import transmitter as transmitter

DOCUMENTS = """
feeds: [{name: ssf, kinds: ['idp.*'], scope: {subjects: [user]}}]
---
source: ssf-directory
users: [{name: ssf-polled, email: polled@ssf.test}, {name: ssf-pushed, email: pushed@ssf.test}]
"""


def _push(troth: RunningTroth, url: str, header: str, token: str) -> int:
    request = urllib.request.Request(  # noqa: S310 -- the address is our own listener's
        url, data=token.encode(), method="POST",
        headers={"content-type": "application/secevent+jwt", "authorization": header},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, context=troth.tls(), timeout=120) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def _standing(troth: RunningTroth, name: str, wanted: str) -> str:
    """The standing of a user once it is ``wanted``, or whatever it is after 20 s."""
    until, found = time.monotonic() + 20, ""
    while found != wanted and time.monotonic() < until:
        found = json.loads(troth.run("subject", "show", f"user:{name}", "-o", "json").stdout)["standing"]
    return found


def test_streams_that_are_made_by_command_are_polled_and_pushed(
    troth: RunningTroth, transmitter: FakeTransmitter, tmp_path: Path
) -> None:
    secret, file = tmp_path / "secret", tmp_path / "documents.yaml"
    secret.write_text(transmitter.secret)
    file.write_text(DOCUMENTS)
    troth.run("apply", "-f", str(file))

    def create(name: str, delivery: str) -> dict[str, Any]:
        said = troth.run(
            "ssf", "stream", "create", name, "--issuer", transmitter.issuer, "--feed", "ssf", "--delivery", delivery,
            "--client-id", "troth", "--token-url", f"{transmitter.origin}/token", "--secret-file", str(secret),
            "-o", "json",
        )  # fmt: skip
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    try:
        polled = create("ssf-polled", "poll")
        verified = json.loads(troth.run("ssf", "stream", "verify", "ssf-polled", "-o", "json").stdout)
        assert verified["verified_at"]
        transmitter.send(
            polled["remote_id"], {RISC + "account-disabled": {}},
            sub_id={"format": "email", "email": "polled@ssf.test"},
        )  # fmt: skip
        assert _standing(troth, "ssf-polled", "quarantined") == "quarantined"

        pushed = create("ssf-pushed", "push")
        delivery = transmitter.streams[pushed["remote_id"]].configuration["delivery"]
        header, url = delivery["authorization_header"], delivery["endpoint_url"]
        itself = {"format": "opaque", "id": pushed["remote_id"]}
        live = transmitter.sign({SSF + "verification": {}}, sub_id=itself)
        assert _push(troth, url, header, live) == 202
        assert _push(troth, url, "Bearer wrong", live) == 401
        about = {"format": "email", "email": "pushed@ssf.test"}
        assert _push(troth, url, header, transmitter.sign({RISC + "account-disabled": {}}, sub_id=about)) == 202
        assert _standing(troth, "ssf-pushed", "quarantined") == "quarantined"
        assert "ssf-pushed" in troth.run("ssf", "stream", "list").stdout
        assert transmitter.secret not in troth.log()
        assert header not in troth.log()
    finally:
        for name in ("ssf-polled", "ssf-pushed"):
            troth.run("ssf", "stream", "delete", name, "--only-here", check=False)
