"""A whole Troth reads an EDR by its API and takes a webhook of any shape; its worker is killed in between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.running import RunningTroth
from tests.support.vendors.falcon import Falcon
from troth.kit.clock import FakeClock

DOCUMENTS = """
feeds: [{name: connected, kinds: ['edr.*'], cadence_seconds: 60, cap: {percent: 100, subjects: 100}}]
---
source: connected
devices:
  - {name: connected-1, serial: SN-c1}
  - {name: connected-2}
---
connectors:
  - {name: connected-falcon, vendor: crowdstrike, feed: connected, base_url: "URL", client_id: client-1,
     poll_seconds: 5}
  - name: connected-siem
    vendor: generic
    feed: connected
    options:
      verify: {scheme: hmac-sha256}
      message_id: /id
      kind: {path: /type, values: {cut: edr.contained, back: edr.containment_lifted}}
      whom: [{device: /host}]
      cause: /host
"""


@pytest.fixture
def falcon() -> Iterator[Falcon]:
    """A fake of Falcon in a thread of its own: the commands that a test runs block its loop."""
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    made = Falcon(FakeClock(datetime.now(UTC)))

    async def serve() -> None:
        async with made:
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(10)
    yield made
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


def _standing(troth: RunningTroth, name: str, wanted: str) -> str:
    """The standing of a device once it is ``wanted``, or whatever it is after 30 s."""
    until, found = time.monotonic() + 120, ""
    while found != wanted and time.monotonic() < until:
        found = json.loads(troth.run("subject", "show", f"device:{name}", "-o", "json").stdout)["standing"]
    return found


def _send(troth: RunningTroth, url: str, message: dict[str, str], secret: bytes) -> int:
    body = json.dumps(message).encode()
    mac = hmac.new(secret, body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(  # noqa: S310 -- the address is our own listener's
        url, data=body, method="POST", headers={"x-hub-signature-256": f"sha256={mac}"}
    )
    with urllib.request.urlopen(request, context=troth.tls(), timeout=120) as response:  # noqa: S310
        return int(response.status)


def test_what_is_read_and_what_is_pushed_moves_standings_though_the_worker_is_killed(
    troth: RunningTroth, falcon: Falcon, tmp_path: Path
) -> None:
    file, secret, shared = tmp_path / "documents.yaml", tmp_path / "secret", tmp_path / "shared"
    file.write_text(DOCUMENTS.replace("URL", falcon.url))
    secret.write_text(falcon.client_secret)
    shared.write_text("a long shared secret\n")
    falcon.host("c1", status="contained")
    try:
        assert "lacks client_secret" in troth.run("apply", "-f", str(file)).stdout
        troth.run("connector", "secret", "connected-falcon", "--file", str(secret))
        troth.run("connector", "secret", "connected-siem", "--file", str(shared))
        assert json.loads(troth.run("connector", "test", "connected-falcon", "-o", "json").stdout)["good"]
        assert _standing(troth, "connected-1", "quarantined") == "quarantined"
        shown = json.loads(troth.run("connector", "show", "connected-falcon", "-o", "json").stdout)
        assert shown["state"] == "reading", shown

        url = json.loads(troth.run("connector", "show", "connected-siem", "-o", "json").stdout)["push_url"]
        for worker in troth.role("worker"):
            worker.kill()
        cut = {"id": "m1", "type": "cut", "host": "connected-2"}
        assert _send(troth, url, cut, b"a long shared secret") == 202
        assert _standing(troth, "connected-2", "quarantined") == "quarantined"
        assert _send(troth, url, cut, b"a long shared secret") == 202
        assert _send(troth, url, cut | {"id": "m2", "type": "back"}, b"a long shared secret") == 202
        assert _standing(troth, "connected-2", "trusted") == "trusted"
        health = {one["name"]: one["health"] for one in json.loads(troth.run("feed", "list", "-o", "json").stdout)}
        assert health["connected"] == "fresh"
        assert falcon.client_secret not in troth.log()
        assert "a long shared secret" not in troth.log()
    finally:
        for name in ("connected-falcon", "connected-siem"):
            troth.run("connector", "remove", name, check=False)
