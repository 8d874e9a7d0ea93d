"""The whole way: a running Troth, the agent as a process, and SPIFFE's own client as the workload."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from spiffe import WorkloadApiClient
from spiffe.workloadapi.errors import FetchX509SvidError

from tests.support.running import RunningTroth

pytestmark = pytest.mark.client

NODE, WORKLOAD = "node.spiffe.test", "cart.spiffe.test"


def waited(for_: Callable[[], Any], what: Callable[[], str], seconds: float = 300.0) -> Any:
    """What ``for_`` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = for_()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(what())


def test_a_process_gets_its_svid_the_host_is_reported_and_a_hold_ends_it(troth: RunningTroth, tmp_path: Path) -> None:
    before = len(troth.log())
    directory = troth.summary["acme_directories"]["hosts"]
    server = directory.partition("/acme/")[0]
    (tmp_path / "workloads.yaml").write_text(
        f"source: spiffe-test\nworkloads:\n"
        f"  - {{name: {WORKLOAD}, trust_domain: corp.test, environment: production, nodes: [{NODE}]}}\n"
    )
    troth.run("apply", "-f", str(tmp_path / "workloads.yaml"))
    socket, log = tmp_path / "run" / "workload.sock", tmp_path / "agent.log"
    (tmp_path / "agent.toml").write_text(f"""
[agent]
state = "{tmp_path}/state"
[issuer.troth]
directory = "{directory}"
trust = "{troth.root}"
[certificate.node]
names = ["{NODE}"]
challenge = {{ kind = "webroot", path = "{troth.web_root.directory}" }}
[spiffe]
server = "{server}"
certificate = "node"
socket = "{socket}"
poll_seconds = 1
[[spiffe.workload]]
name = "{WORKLOAD}"
selectors = ["unix:uid:{os.getuid()}"]
[survey]
server = "{server}"
certificate = "node"
usual_paths = false
listeners = false
posture = false
paths = ["{tmp_path}"]
""")

    def svid() -> Any:
        try:
            with WorkloadApiClient(f"unix://{socket}") as client:
                return client.fetch_x509_svid()
        except FetchX509SvidError:
            return None

    with log.open("wb") as errors:
        agent = subprocess.Popen(
            [*troth.program, "agent", "run", "--config", str(tmp_path / "agent.toml")], stderr=errors
        )
    try:
        told = lambda: log.read_text()[-4000:]  # noqa: E731 -- read when it is needed
        waited(socket.exists, told)
        found = waited(svid, told)
        assert str(found.spiffe_id) == f"spiffe://corp.test/production/{WORKLOAD}"
        (root,) = x509.load_pem_x509_certificates(troth.root.read_bytes())
        found.cert_chain[0].verify_directly_issued_by(found.cert_chain[1])
        found.cert_chain[1].verify_directly_issued_by(root)
        left = found.leaf.not_valid_after_utc.timestamp() - time.time()
        assert 0 < left <= 15 * 60

        # The survey had no certificate to sign with at first, and tries again.
        listed = lambda: json.loads(troth.run("inventory", "list", "-o", "json").stdout)  # noqa: E731
        waited(lambda: any(one["host"] == NODE for one in listed()), told, 100)
        own = next(one for one in listed() if one["host"] == NODE and one["certificate_id"])
        assert Path(own["place"]).is_relative_to(tmp_path)

        held = troth.run("cert", "hold", own["certificate_id"], "--note", "a look")
        assert held.returncode == 0
        waited(lambda: svid() is None, told)
    finally:
        agent.terminate()
        assert agent.wait(20) == 0
    assert not socket.exists()
    assert "Traceback" not in log.read_text()
    assert "Traceback" not in troth.log()[before:]
