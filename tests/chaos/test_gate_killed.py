"""SIGKILL at each step of the gate: what the database knows afterwards, and what it never does again."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.clocks import START
from tests.support.mint import Mint, new_spki
from troth.pki.burn import Burner
from troth.pki.errors import GateRefused
from troth.pki.store import CertificateStore

pytestmark = pytest.mark.chaos

#: Issues one certificate and dies at the named point. What it signs, it writes down first, durably.
_PROGRAM = """
import asyncio, os, random, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.clocks import START
from tests.support.mint import OpenInterlock
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.pki.model import IssuanceRequest
from troth.store.pool import Database

url, directory, point, spki = sys.argv[1], Path(sys.argv[2]), sys.argv[3], bytes.fromhex(sys.argv[4])

def die(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)

class Signer:
    async def certify(self, key_id, tbs, reservation_id):
        die("before sign")
        with open(directory / "signed", "ab") as log:
            log.write(tbs.hex().encode() + b"\\n")
            log.flush()
            os.fsync(log.fileno())
        key = load_pem_private_key((directory / "key.pem").read_bytes(), None)
        signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        die("after sign")
        return signature

async def main():
    clock = FakeClock(START)
    database = await Database.open(url, clock=clock)
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    commit, count = database.commit, 0

    async def dying(unit):
        nonlocal count
        count += 1
        name = ("reserve", "store")[count - 1]
        die(f"before {name}")
        task = asyncio.create_task(commit(unit))
        if point == f"during {name}":
            await asyncio.sleep(random.random() * 0.004)
            die(point)
        await task
        die(f"after {name}")

    database.commit = dying
    gate = Gate(database, Signer(), catalogue, OpenInterlock(), clock, instance=new_id())
    request = IssuanceRequest("request-1", "issuing", "tls-server", spki, (("dns", "a.example"),), "test:mint")
    await gate.issue(request)

asyncio.run(main())
"""

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
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, database_url, str(tmp_path), point, spki.hex(), cwd=Path(__file__).parents[2]
    )
    assert await process.wait() == -signal.SIGKILL
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
