"""A real signer process with a real token: pulled and put back under it, and its PIN nowhere to be seen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.signing import authority_certificate, crl_tbs, leaf_tbs
from tests.support.tokens import PIN, SoftToken
from troth.kit.ids import new_id
from troth.pki import algorithms
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import SignerRefused

_PROGRAM = """
import asyncio, sys, uvloop
from pathlib import Path
from troth.kit.log import configure
from troth.kit.settings import Pkcs11Custodian
from troth.pki.signer.process import harden
from troth.pki.signer.server import SignerSettings, serve
configure(role="signer", level="debug")
data, library, label, pin = Path(sys.argv[1]), *sys.argv[2:]
custodians = {"hsm": Pkcs11Custodian(module=library, token_label=label, pin=pin)}
settings = SignerSettings(data, data / "s.sock", "pki.example/ledger", custodians=custodians)
uvloop.run(serve(settings, lambda: print("ready", flush=True)))
"""


@dataclass
class Signer:
    """The process under test. It is not hardened, so that the test may look into /proc."""

    data: Path
    process: asyncio.subprocess.Process
    log: Path

    def client(self, role: str) -> SignerClient:
        return SignerClient(self.data / "s.sock", role, self.data / "secrets", timeout=120.0)

    def shows(self) -> bytes:
        """All that others could see of it: arguments, environment, log."""
        proc = Path(f"/proc/{self.process.pid}")
        return (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes() + self.log.read_bytes()


@pytest.fixture
async def signer(tmp_path: Path, soft_token: SoftToken, request: pytest.FixtureRequest) -> AsyncIterator[Signer]:
    pin = getattr(request, "param", f"file:{soft_token.pin_file}")
    log = tmp_path / "signer.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, str(tmp_path / "data"), soft_token.library, soft_token.label, pin,
            stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(120):
        assert await process.stdout.readline() == b"ready\n", log.read_text()
    yield Signer(tmp_path / "data", process, log)
    process.terminate()
    await process.communicate()


async def authority(signer: Signer) -> KeyMetadata:
    async with signer.client("setup") as setup:
        made = await setup.generate_key(KeyPurpose.ISSUING, KeyAlgorithm.P256, "pkcs11:hsm")
        return await setup.attach_authority(made.key_id, authority_certificate(made.public_key, datetime.now(UTC)))


async def test_a_token_that_is_pulled_and_put_back_signs_again_without_a_restart(
    signer: Signer, soft_token: SoftToken
) -> None:
    ca = await authority(signer)
    public = algorithms.load_public(ca.public_key)
    async with signer.client("worker") as worker:
        tbs, crl = leaf_tbs(ca.public_key, datetime.now(UTC)), crl_tbs(ca.public_key, datetime.now(UTC))
        algorithms.verify(public, await worker.certify(ca.key_id, tbs, new_id()), tbs)
        algorithms.verify(public, await worker.sign_crl(ca.key_id, crl), crl)
        soft_token.pull()
        with pytest.raises(SignerRefused) as caught:
            await worker.certify(ca.key_id, leaf_tbs(ca.public_key, datetime.now(UTC)), new_id())
        assert caught.value.code == "keys.custodian_unavailable"
        assert [trouble.key_id for trouble in (await worker.custody()).troubles] == [ca.key_id]
        soft_token.put_back()
        async with asyncio.timeout(120):
            while (await worker.custody()).troubles:
                await asyncio.sleep(0.05)
        tbs = leaf_tbs(ca.public_key, datetime.now(UTC))
        algorithms.verify(public, await worker.certify(ca.key_id, tbs, new_id()), tbs)
        started = (await worker.health(ca.key_id)).started_at
    assert started < datetime.now(UTC)
    assert signer.process.returncode is None
    assert PIN.encode() not in signer.shows()
    assert b"custodian.down" in signer.log.read_bytes()
    assert b"custodian.back" in signer.log.read_bytes()


@pytest.mark.parametrize("signer", ["unseal"], indirect=True)
async def test_an_unsealed_pin_is_in_no_argument_variable_or_log(signer: Signer) -> None:
    async with signer.client("setup") as setup:
        with pytest.raises(SignerRefused) as caught:
            await setup.unseal("pkcs11:hsm", b"not-the-pin-but-secret-too")
        assert caught.value.code == "keys.pin_refused"
        await setup.unseal("pkcs11:hsm", PIN.encode())
    ca = await authority(signer)
    async with signer.client("web") as web:
        assert await web.certify(ca.key_id, leaf_tbs(ca.public_key, datetime.now(UTC)), new_id())
    shown = signer.shows()
    assert b"pkcs11:hsm" in shown or b"signer.ready" in shown
    assert PIN.encode() not in shown
    assert b"not-the-pin-but-secret-too" not in shown
