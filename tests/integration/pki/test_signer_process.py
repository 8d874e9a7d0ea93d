"""A real signer process, killed and started again: clients heal, and nothing is signed twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.signing import authority_certificate, crl_tbs, leaf_tbs
from troth.audit.merkle import leaf_hash
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.pki import algorithms
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import SignerLost, SignerRefused, SignerUnavailable

pytestmark = pytest.mark.chaos

_PROGRAM = """
import asyncio, sys, uvloop
from pathlib import Path
from troth.kit.log import configure
from troth.pki.signer.process import harden
from troth.pki.signer.server import SignerSettings, serve
harden()
configure(role="signer", level="error")
data = Path(sys.argv[1])
settings = SignerSettings(data, data / "s.sock", "pki.example/ledger")
uvloop.run(serve(settings, lambda: print("ready", flush=True)))
"""


class SignerProcess:
    """The process under test."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, str(self.data), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(120):
            assert await self._process.stdout.readline() == b"ready\n"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    def client(self, role: str, timeout: float = 120.0) -> SignerClient:
        return SignerClient(self.data / "s.sock", role, self.data / "secrets", timeout=timeout)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[SignerProcess]:
    running = SignerProcess(tmp_path)
    await running.start()
    yield running
    await running.kill()


@pytest.fixture
async def ca(process: SignerProcess) -> KeyMetadata:
    async with process.client("setup") as setup:
        made = await setup.generate_key(KeyPurpose.ISSUING)
        return await setup.attach_authority(made.key_id, authority_certificate(made.public_key, datetime.now(UTC)))


def body(ca: KeyMetadata) -> bytes:
    return leaf_tbs(ca.public_key, datetime.now(UTC))


async def test_an_answer_lost_to_a_kill_is_told_as_lost_and_the_reservation_is_never_signed(
    process: SignerProcess, ca: KeyMetadata
) -> None:
    tbs, reservation = body(ca), new_id()
    async with process.client("web") as web:
        await web.health()
        os.kill(process.pid, signal.SIGSTOP)
        asking = asyncio.create_task(web.certify(ca.key_id, tbs, reservation))
        await asyncio.sleep(0.1)  # it has left
        await process.kill()
        with pytest.raises(SignerLost):
            await asking
        await process.start()
        with pytest.raises(SignerRefused) as caught:
            await web.certify(ca.key_id, tbs, reservation)
        assert caught.value.code == "signer.replay"
        fresh = body(ca)
        algorithms.verify(algorithms.load_public(ca.public_key), await web.certify(ca.key_id, fresh, new_id()), fresh)


async def test_an_answer_that_does_not_come_in_time_is_told_as_lost(process: SignerProcess, ca: KeyMetadata) -> None:
    async with process.client("web") as web:
        await web.health()
        web._timeout = 0.3
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(SignerLost):
            await web.certify(ca.key_id, body(ca), new_id())
        with pytest.raises(SignerUnavailable):
            await web.health()  # a question may be asked again, so nothing is lost
        os.kill(process.pid, signal.SIGCONT)
        web._timeout = 120.0
        assert await web.certify(ca.key_id, body(ca), new_id())  # late answers confuse nobody


async def test_calls_made_while_the_signer_is_away_wait_for_it_and_are_sent_once(
    process: SignerProcess, ca: KeyMetadata
) -> None:
    async with process.client("web") as web:
        await web.health()
        await process.kill()
        asking = asyncio.gather(web.health(ca.key_id), web.list_keys(KeyPurpose.ISSUING))
        await asyncio.sleep(0.3)
        assert not asking.done()
        await process.start()
        _, keys = await asking
        assert [key.key_id for key in keys] == [ca.key_id]


async def test_without_a_signer_nothing_is_lost_since_nothing_left(process: SignerProcess, ca: KeyMetadata) -> None:
    await process.kill()
    async with process.client("web", timeout=0.3) as web:
        with pytest.raises(SignerUnavailable):
            await web.certify(ca.key_id, body(ca), new_id())


async def test_under_kills_at_random_moments_no_reservation_is_answered_twice(
    process: SignerProcess, ca: KeyMetadata
) -> None:
    signed = 0
    async with process.client("web") as web, process.client("worker") as worker:

        async def issue(client: SignerClient) -> None:
            nonlocal signed
            tbs, reservation = body(ca), new_id()
            try:
                await client.certify(ca.key_id, tbs, reservation)
            except (SignerLost, SignerUnavailable, SignerRefused):
                return
            signed += 1
            with pytest.raises(SignerRefused):
                await client.certify(ca.key_id, tbs, reservation)

        async def issue_for_a_while(client: SignerClient) -> None:
            for _ in range(40):
                await asyncio.gather(*(issue(client) for _ in range(5)), return_exceptions=True)

        issuing = asyncio.gather(issue_for_a_while(web), issue_for_a_while(worker))
        for pause in (0.05, 0.2):
            await asyncio.sleep(pause)
            await process.kill()
            await process.start()
        await issuing
        assert await web.certify(ca.key_id, body(ca), new_id())
    assert signed > 0


async def test_crl_numbers_and_the_notary_are_remembered_over_a_kill(process: SignerProcess, ca: KeyMetadata) -> None:
    async with process.client("worker") as worker:
        now = SystemClock().now()
        await worker.sign_crl(ca.key_id, crl_tbs(ca.public_key, now, number=7))
        answer = await worker.checkpoint(0, [leaf_hash(b"a"), leaf_hash(b"b")], now)
        await process.kill()
        await process.start()
        with pytest.raises(SignerRefused) as caught:
            await worker.sign_crl(ca.key_id, crl_tbs(ca.public_key, now, number=7))
        assert caught.value.code == "signer.crl_number"
        again = await worker.checkpoint(0, [leaf_hash(b"x")], now + timedelta(seconds=1))
        assert (again.extended, again.size, again.root) == (False, 2, answer.root)


async def test_a_hardened_process_dumps_no_core_and_is_closed_to_ptrace() -> None:
    program = (
        "import ctypes, resource; from troth.pki.signer.process import harden; harden();"
        "print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))"  # PR_GET_DUMPABLE
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    assert output.decode().strip() == "0 (0, 0)"
