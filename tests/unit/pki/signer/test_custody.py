"""The signer over its socket with a custodian elsewhere: slow, down, sealed, and back again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.signing import authority_certificate, crl_tbs, leaf_tbs
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.pki import algorithms
from troth.pki.crl_der import split_tbs
from troth.pki.keys.algorithm import (
    KeyAlgorithm,
    generate_private_key,
    public_key_info,
)
from troth.pki.keys.backend import Backend, Made
from troth.pki.keys.errors import CUSTODIAN_UNAVAILABLE, PIN_REFUSED, CustodianDown
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.prehash import sign_digest
from troth.pki.signer import server as signer_server
from troth.pki.signer.client import SignerClient
from troth.pki.signer.custody_protocol import Unseal
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.server import SignerSettings, serve

NOW = datetime.now(UTC)


class Token:
    """A backend in memory that can be slow, gone or sealed."""

    algorithms = frozenset({KeyAlgorithm.P256})
    longest = 0

    def __init__(self, pin: bytes = b"") -> None:
        self._keys: dict[str, object] = {}
        self._pin = pin
        self.sealed = bool(pin)
        self.gone = False
        self.asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def unseal(self, secret: bytes) -> None:
        if secret != self._pin:
            raise CustodianDown(PIN_REFUSED)
        self.sealed = False

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        self._come()
        key = self._keys[key_id] = generate_private_key(algorithm)
        return Made({"id": key_id}, public_key_info(key), (("LOCAL", "true"),))

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        self._come()
        return public_key_info(self._keys[handle["id"]])  # type: ignore[arg-type]

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        self._come()
        assert digested
        return sign_digest(self._keys[handle["id"]], content)  # type: ignore[arg-type]

    def close(self) -> None:
        pass

    def _come(self) -> None:
        self.asked.set()
        assert self.goes_on.wait(20)
        if self.gone:
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, "the token was pulled")


@dataclass
class Running:
    settings: SignerSettings
    token: Token = field(default_factory=Token)

    def client(self, role: str, timeout: float = 10.0) -> SignerClient:
        return SignerClient(self.settings.socket, role, self.settings.data / "secrets", timeout=timeout)


@pytest.fixture
async def signer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    running = Running(SignerSettings(tmp_path / "data", tmp_path / "s.sock", "pki.example/ledger"))
    running.token = Token(getattr(request, "param", b""))
    opened = Keyring.open

    def with_token(data: Path, clock: FakeClock, _settings: object) -> Keyring:
        backends: dict[str, Backend] = {"pkcs11:test": running.token}
        return opened(data, clock, backends=backends)

    monkeypatch.setattr(signer_server.Keyring, "open", with_token)
    ready = asyncio.Event()
    task = asyncio.create_task(serve(running.settings, ready.set, clock=SystemClock()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), task
    yield running
    running.token.goes_on.set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def authority(signer: Running, custodian: str = "pkcs11:test") -> KeyMetadata:
    async with signer.client("setup") as setup:
        made = await setup.generate_key(KeyPurpose.ISSUING, KeyAlgorithm.P256, custodian)
        return await setup.attach_authority(made.key_id, authority_certificate(made.public_key, NOW))


async def test_leaves_crls_and_health_of_a_key_elsewhere_verify(signer: Running) -> None:
    ca = await authority(signer)
    assert (ca.custodian, ca.evidence) == ("pkcs11:test", (("LOCAL", "true"),))
    public = algorithms.load_public(ca.public_key)
    async with signer.client("worker") as worker:
        bodies = [leaf_tbs(ca.public_key, NOW) for _ in range(40)]
        signatures = await asyncio.gather(*(worker.certify(ca.key_id, tbs, new_id()) for tbs in bodies))
        for tbs, signature in zip(bodies, signatures, strict=True):
            algorithms.verify(public, signature, tbs)
        crl = crl_tbs(ca.public_key, NOW)
        algorithms.verify(public, await worker.sign_crl(ca.key_id, crl), crl)
        await worker.health(ca.key_id)


async def test_a_crl_in_pieces_is_signed_by_a_key_elsewhere(signer: Running) -> None:
    ca = await authority(signer)
    tbs = crl_tbs(ca.public_key, NOW, revoked=40)
    frame, entries = split_tbs(tbs)

    async def commit() -> None:
        return None

    async with signer.client("worker") as worker:
        signature = await worker.sign_crl_stream(ca.key_id, frame, [entries], commit)
    algorithms.verify(algorithms.load_public(ca.public_key), signature, tbs)


async def test_a_token_that_hangs_holds_up_its_own_keys_alone(signer: Running) -> None:
    slow, own = await authority(signer), await authority(signer, "software")
    async with signer.client("worker") as worker:
        signer.token.asked.clear()
        signer.token.goes_on.clear()
        waiting = asyncio.create_task(worker.certify(slow.key_id, leaf_tbs(slow.public_key, NOW), new_id()))
        waiting_crl = asyncio.create_task(worker.sign_crl(slow.key_id, crl_tbs(slow.public_key, NOW)))
        assert await asyncio.to_thread(signer.token.asked.wait, 10)
        assert await worker.certify(own.key_id, leaf_tbs(own.public_key, NOW), new_id())
        assert await worker.sign_crl(own.key_id, crl_tbs(own.public_key, NOW))
        assert not waiting.done()
        signer.token.goes_on.set()
        assert await waiting
        assert await waiting_crl


async def test_a_pulled_token_is_a_clear_error_and_is_back_without_a_restart(signer: Running) -> None:
    ca, own = await authority(signer), await authority(signer, "software")
    async with signer.client("worker") as worker:
        signer.token.gone = True
        with pytest.raises(SignerRefused) as caught:
            await worker.certify(ca.key_id, leaf_tbs(ca.public_key, NOW), new_id())
        assert caught.value.code == "keys.custodian_unavailable"
        assert await worker.certify(own.key_id, leaf_tbs(own.public_key, NOW), new_id())
        report = await worker.custody()
        assert [(one.name, one.state) for one in report.custodians] == [("software", "ready"), ("pkcs11:test", "down")]
        assert [trouble.key_id for trouble in report.troubles] == [ca.key_id]
        signer.token.gone = False
        async with asyncio.timeout(120):
            while (await worker.custody()).troubles:
                await asyncio.sleep(0.05)
        assert await worker.certify(ca.key_id, leaf_tbs(ca.public_key, NOW), new_id())


async def test_a_refused_signature_is_not_asked_for_again_under_its_reservation(signer: Running) -> None:
    ca = await authority(signer)
    reservation, tbs = new_id(), leaf_tbs(ca.public_key, NOW)
    async with signer.client("worker") as worker:
        signer.token.gone = True
        with pytest.raises(SignerRefused):
            await worker.certify(ca.key_id, tbs, reservation)
        signer.token.gone = False
        with pytest.raises(SignerRefused) as caught:
            await worker.certify(ca.key_id, tbs, reservation)
        assert caught.value.code == "signer.replay"


@pytest.mark.parametrize("signer", [b"the-pin-of-a-test"], indirect=True)
async def test_a_sealed_custodian_signs_once_its_secret_is_given_and_others_need_none(
    signer: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    own = await authority(signer, "software")
    async with signer.client("setup") as setup, signer.client("web") as web:
        assert await web.certify(own.key_id, leaf_tbs(own.public_key, NOW), new_id())
        with pytest.raises(SignerRefused) as caught:
            await setup.generate_key(KeyPurpose.ISSUING, KeyAlgorithm.P256, "pkcs11:test")
        assert caught.value.code == "signer.sealed"
        (state,) = [one for one in (await web.custody()).custodians if one.name == "pkcs11:test"]
        assert (state.state, state.code) == ("sealed", "signer.sealed")
        with pytest.raises(SignerRefused) as caught:
            await web.unseal("pkcs11:test", b"the-pin-of-a-test")
        assert caught.value.code == "signer.role"
        with pytest.raises(SignerRefused) as caught:
            await setup.unseal("pkcs11:test", b"another-pin")
        assert caught.value.code == "keys.pin_refused"
        with pytest.raises(SignerRefused) as caught:
            await setup.unseal("software", b"x")
        assert caught.value.code == "keys.custodian_unknown"
        await setup.unseal("pkcs11:test", b"the-pin-of-a-test")
    ca = await authority(signer)
    async with signer.client("web") as web:
        assert await web.certify(ca.key_id, leaf_tbs(ca.public_key, NOW), new_id())
    told = capfd.readouterr()
    assert "the-pin-of-a-test" not in told.out + told.err
    assert "another-pin" not in told.out + told.err


def test_a_message_that_unseals_does_not_show_its_secret() -> None:
    message = Unseal(1, "pkcs11:test", b"the-pin-of-a-test")
    assert "the-pin" not in repr(message) + str(message) + repr(message.__rich_repr__())
