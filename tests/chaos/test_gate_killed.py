"""SIGKILL at each step of the gate: what the database knows afterwards, and what it never does again."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.chaos.killable_gate import issue_and_die
from tests.support.clocks import START
from tests.support.mint import Mint, new_spki
from troth.pki.burn import Burner
from troth.pki.errors import GateRefused
from troth.pki.store import CertificateStore

pytestmark = pytest.mark.chaos

#: Forks a process that has imported the gate already: an import takes longer than an issuance.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.chaos.killable_gate"])

POINTS = {
    "before reserve": "absent",
    "during reserve": None,
    "after reserve": "burnt",
    "before sign": "burnt",
    "after sign": "burnt",
    "before store": "burnt",
    "during store": None,
    "after store": "issued",
}


@pytest.mark.parametrize("point", sorted(POINTS))
@pytest.mark.parametrize("run", range(2))
async def test_a_process_killed_at_any_step_leaves_nothing_unknown_and_nothing_to_sign_again(
    mint: Mint, database_url: str, tmp_path: Path, point: str, run: int
) -> None:
    key = mint.signer.keys["issuing-key"]
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    spki = new_spki()
    process = _PROCESSES.Process(target=issue_and_die, args=(database_url, tmp_path, point, spki))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    process.close()
    log = tmp_path / "signed"
    signed = [bytes.fromhex(line) for line in log.read_text().split()] if log.exists() else []
    assert len(signed) <= 1

    # Whatever was signed, the database knew before.
    store = CertificateStore(mint.database)
    before = await store.by_request("request-1")
    assert before is not None or not signed
    if signed and before is not None and before.state == "reserved":
        assert before.tbs == signed[0]

    # Recovery: nothing stays reserved, and what may have been signed is revoked.
    mint.clock.set_wall(START)
    mint.clock.advance(timedelta(seconds=61))
    await Burner(mint.database, mint.clock).burn_abandoned()
    row = await store.by_request("request-1")
    found = "absent" if row is None else row.state
    assert found == (POINTS[point] or found)
    assert found in {"absent", "issued", "burnt"}
    assert row is None or (row.state, row.status) in {("issued", "good"), ("burnt", "revoked")}

    # The same request again: the certificate there is, or a refusal; a fresh one only if nothing was reserved.
    request = mint.request(spki=spki)
    if found == "burnt":
        with pytest.raises(GateRefused):
            await mint.gate.issue(request)
        assert mint.signer.certified == []
        return
    issued = await mint.gate.issue(request)
    if found == "issued":
        assert mint.signer.certified == []
        assert x509.load_der_x509_certificate(issued.der).tbs_certificate_bytes == signed[0]
    else:
        assert len(mint.signer.certified) == 1
