"""The signer over its socket: what each role gets, and what a hostile peer gets, which is nothing."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.signing import authority_certificate, crl_tbs, leaf_tbs, usage
from troth.audit.merkle import leaf_hash, root_of
from troth.audit.note import NoteKey, open_checkpoint
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.pki import algorithms, jwt_svid
from troth.pki.jwt_svid import Claims
from troth.pki.keys.algorithm import KeyAlgorithm, from_pkcs8, public_key_info
from troth.pki.keys.errors import KeyUnavailable
from troth.pki.keys.files import read_secret
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer import handshake, protocol
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import SignerRefused, SignerUnavailable
from troth.pki.signer.server import SignerSettings, serve

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass
class Running:
    settings: SignerSettings
    clock: FakeClock

    @property
    def secrets(self) -> Path:
        return self.settings.data / "secrets"

    def client(self, role: str, timeout: float = 5.0) -> SignerClient:
        return SignerClient(self.settings.socket, role, self.secrets, timeout=timeout)


@pytest.fixture
async def signer(tmp_path: Path) -> AsyncIterator[Running]:
    clock = FakeClock(NOW)
    settings = SignerSettings(tmp_path / "data", tmp_path / "s.sock", "pki.example/ledger")
    ready = asyncio.Event()
    task = asyncio.create_task(serve(settings, ready.set, clock=clock))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), task
    yield Running(settings, clock)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not settings.socket.exists()


async def authority(signer: Running, algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> KeyMetadata:
    async with signer.client("setup") as setup:
        made = await setup.generate_key(KeyPurpose.ISSUING, algorithm)
        return await setup.attach_authority(made.key_id, authority_certificate(made.public_key, NOW))


async def code_of(call: object) -> str:
    with pytest.raises(SignerRefused) as caught:
        await call  # type: ignore[misc]
    return caught.value.code


async def test_a_leaf_is_certified_and_the_signature_verifies(signer: Running) -> None:
    ca = await authority(signer)
    tbs = leaf_tbs(ca.public_key, NOW)
    async with signer.client("web") as web:
        signature = await web.certify(ca.key_id, tbs, new_id())
    algorithms.verify(algorithms.load_public(ca.public_key), signature, tbs)


async def test_many_requests_of_many_clients_are_answered_each_with_its_own_signature(signer: Running) -> None:
    ca = await authority(signer)
    public = algorithms.load_public(ca.public_key)
    bodies = [leaf_tbs(ca.public_key, NOW) for _ in range(600)]
    async with signer.client("web") as one, signer.client("web") as two, signer.client("worker") as three:
        clients = [one, two, three]
        answers = await asyncio.gather(
            *(clients[n % 3].certify(ca.key_id, tbs, new_id()) for n, tbs in enumerate(bodies)), two.health(ca.key_id)
        )
    for tbs, signature in zip(bodies, answers, strict=False):
        assert isinstance(signature, bytes)
        algorithms.verify(public, signature, tbs)


async def test_a_reservation_or_serial_presented_twice_is_signed_once(signer: Running) -> None:
    ca = await authority(signer)
    reservation, tbs = new_id(), leaf_tbs(ca.public_key, NOW)
    async with signer.client("web") as web, signer.client("worker") as worker:
        tries = await asyncio.gather(
            *(client.certify(ca.key_id, tbs, reservation) for client in (web, worker) for _ in range(10)),
            return_exceptions=True,
        )
        assert len([answer for answer in tries if isinstance(answer, bytes)]) == 1
        assert await code_of(web.certify(ca.key_id, tbs, new_id())) == "signer.replay"
        assert await code_of(web.certify(ca.key_id, leaf_tbs(ca.public_key, NOW), reservation)) == "signer.replay"


async def test_a_token_of_a_workload_is_signed_by_a_key_that_signs_nothing_else(signer: Running) -> None:
    ca = await authority(signer)
    sub, at = "spiffe://corp.example/default/shop", int(NOW.timestamp())
    claims = Claims(sub, ("db",), at, at + 300, "a1").encode()
    async with signer.client("web") as web, signer.client("worker") as worker, signer.client("status") as status:
        assert await code_of(web.generate_key(KeyPurpose.JWT)) == "signer.role"
        assert await code_of(worker.generate_key(KeyPurpose.JWT, KeyAlgorithm.P384)) == "signer.limit.jwt"
        made = await worker.generate_key(KeyPurpose.JWT)
        signature = await web.sign_jwt(made.key_id, claims)
        public = algorithms.load_public(made.public_key)
        algorithms.verify(public, signature, jwt_svid.signing_input(made.key_id, claims))
        # Nobody else may ask, and no other key signs tokens.
        for other in (worker, status):
            assert await code_of(other.sign_jwt(made.key_id, claims)) == "signer.role"
        ocsp = await worker.generate_key(KeyPurpose.OCSP)
        for key_id in (ca.key_id, ocsp.key_id):
            assert await code_of(web.sign_jwt(key_id, claims)) == "signer.limit.jwt"
        # It signs no certificate and no CRL, leaves for nobody, and is certified by no authority.
        assert await code_of(web.certify(made.key_id, leaf_tbs(made.public_key, NOW), new_id())) == (
            "signer.key_unattached"
        )
        assert await code_of(worker.sign_crl(made.key_id, crl_tbs(made.public_key, NOW))) == "signer.key_unattached"
        assert await code_of(status.release_key(made.key_id)) == "signer.limit.responder"
        own = leaf_tbs(ca.public_key, NOW, spki=made.public_key)
        assert await code_of(web.certify(ca.key_id, own, new_id())) == "signer.limit.responder"
        # What is no token of this moment is not signed, whoever asks.
        for wrong in (
            claims + b" ",
            Claims("spiffe://corp.example", ("db",), at, at + 300, "a1").encode(),
            Claims(sub, (), at, at + 300, "a1").encode(),
            Claims(sub, ("db",), at, at + 3601, "a1").encode(),
            Claims(sub, ("db",), at + 120, at + 300, "a1").encode(),
        ):
            assert await code_of(web.sign_jwt(made.key_id, wrong)) == "signer.limit.jwt"
        # Its time ends, and then the signer forgets it.
        signer.clock.advance(jwt_svid.FORGOTTEN)
        late = int(signer.clock.now().timestamp())
        after = Claims(sub, ("db",), late, late + 300, "a1").encode()
        assert await code_of(web.sign_jwt(made.key_id, after)) == "signer.limit.jwt"
        signer.clock.advance(timedelta(seconds=1))
        younger = await worker.generate_key(KeyPurpose.JWT)
        assert [key.key_id for key in await web.list_keys(KeyPurpose.JWT)] == [younger.key_id]


async def test_a_refused_request_does_not_use_its_reservation_up(signer: Running) -> None:
    ca = await authority(signer)
    reservation = new_id()
    async with signer.client("web") as web:
        bad = leaf_tbs(ca.public_key, NOW, usages=None)
        assert await code_of(web.certify(ca.key_id, bad, reservation)) == "signer.limit.extended_key_usage"
        assert await web.certify(ca.key_id, leaf_tbs(ca.public_key, NOW), reservation)


async def test_no_role_gets_what_the_table_does_not_give_it(signer: Running) -> None:
    ca = await authority(signer)
    async with signer.client("worker") as worker:
        ocsp = await worker.generate_key(KeyPurpose.OCSP)
    tbs, crl = leaf_tbs(ca.public_key, NOW), crl_tbs(ca.public_key, NOW)
    certificate = authority_certificate(ca.public_key, NOW)
    refused = {
        "web": ("sign_crl", "generate_key", "release_key", "checkpoint"),
        "worker": ("generate_issuing", "attach_authority", "release_key", "generate_notary"),
        "status": ("certify", "sign_crl", "generate_key", "attach_authority", "checkpoint"),
        "setup": ("certify", "sign_crl", "generate_key", "release_key", "checkpoint", "generate_notary"),
    }
    for role, operations in refused.items():
        async with signer.client(role) as client:
            calls = {
                "certify": lambda c=client: c.certify(ca.key_id, tbs, new_id()),
                "sign_crl": lambda c=client: c.sign_crl(ca.key_id, crl),
                "generate_key": lambda c=client: c.generate_key(KeyPurpose.OCSP),
                "generate_issuing": lambda c=client: c.generate_key(KeyPurpose.ISSUING),
                "generate_notary": lambda c=client: c.generate_key(KeyPurpose.NOTARY),
                "attach_authority": lambda c=client: c.attach_authority(ca.key_id, certificate),
                "release_key": lambda c=client: c.release_key(ocsp.key_id),
                "checkpoint": lambda c=client: c.checkpoint(0, [], NOW),
            }
            for operation in operations:
                assert await code_of(calls[operation]()) == "signer.role", (role, operation)
            if role == "web":  # what it may relay for people, it gets with their signatures and not without
                for operation in ("attach_authority", "generate_issuing"):
                    assert await code_of(calls[operation]()) == "signer.approver.refused", operation


async def test_a_web_process_that_was_taken_over_gets_nothing_out_of_bounds_signed(signer: Running) -> None:
    ca = await authority(signer)
    async with signer.client("worker") as worker, signer.client("setup") as setup:
        ocsp = await worker.generate_key(KeyPurpose.OCSP)
        loose = await setup.generate_key(KeyPurpose.ISSUING)
    ca_true = x509.BasicConstraints(ca=True, path_length=None)
    ca_usage = usage(sign_certificates=True, sign_crls=True)
    notary = f"notary-{new_id()}"
    async with signer.client("web") as web:
        attempts = [
            (ca.key_id, leaf_tbs(ca.public_key, NOW, constraints=ca_true, key_usage=ca_usage)),
            (ca.key_id, leaf_tbs(ca.public_key, NOW, usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))),
            (ca.key_id, leaf_tbs(ca.public_key, NOW, spki=ocsp.public_key)),
            (ca.key_id, leaf_tbs(ca.public_key, NOW, lasts=timedelta(days=4000))),
            (ca.key_id, crl_tbs(ca.public_key, NOW)),
            (ca.key_id, b"pki.example/ledger\n1\nAAAA\n"),
            (ca.key_id, b""),
            (loose.key_id, leaf_tbs(loose.public_key, NOW)),
            (ocsp.key_id, leaf_tbs(ocsp.public_key, NOW)),
            (notary, leaf_tbs(ca.public_key, NOW)),
            ("../secrets/web", leaf_tbs(ca.public_key, NOW)),
        ]
        for key_id, tbs in attempts:
            assert (await code_of(web.certify(key_id, tbs, new_id()))).startswith(("signer.", "keys."))


async def test_an_authority_is_attached_once(signer: Running) -> None:
    ca = await authority(signer)
    wider = protocol.Bounds(max_validity_seconds=10**9)
    async with signer.client("setup") as setup:
        certificate = authority_certificate(ca.public_key, NOW)
        assert await code_of(setup.attach_authority(ca.key_id, certificate, wider)) == "keys.attached"
        assert (await setup.public_key(ca.key_id)).limits == ca.limits


async def test_a_responders_key_is_made_certified_and_released_to_status_alone(signer: Running) -> None:
    ca = await authority(signer)
    async with signer.client("worker") as worker:
        key = await worker.generate_key(KeyPurpose.OCSP)
        nocheck = [(x509.OCSPNoCheck(), False)]
        tbs = leaf_tbs(
            ca.public_key, NOW, spki=key.public_key, usages=(ExtendedKeyUsageOID.OCSP_SIGNING,), extra=nocheck
        )
        assert await worker.certify(ca.key_id, tbs, new_id())
    async with signer.client("status") as status:
        assert public_key_info(from_pkcs8(await status.release_key(key.key_id))) == key.public_key
        assert await code_of(status.release_key(ca.key_id)) == "signer.limit.responder"


async def test_ocsp_keys_are_forgotten_when_their_time_is_over(signer: Running) -> None:
    async with signer.client("worker") as worker:
        old = await worker.generate_key(KeyPurpose.OCSP)
        signer.clock.advance(timedelta(days=14, seconds=1))
        new = await worker.generate_key(KeyPurpose.OCSP)
        assert [key.key_id for key in await worker.list_keys(KeyPurpose.OCSP)] == [new.key_id]
        assert await code_of(worker.public_key(old.key_id)) == "keys.unknown"


async def test_crl_numbers_rise(signer: Running) -> None:
    ca = await authority(signer)
    async with signer.client("worker") as worker:
        tbs = crl_tbs(ca.public_key, NOW, number=2, revoked=1000)
        algorithms.verify(algorithms.load_public(ca.public_key), await worker.sign_crl(ca.key_id, tbs), tbs)
        assert await code_of(worker.sign_crl(ca.key_id, tbs)) == "signer.crl_number"
        assert await worker.sign_crl(ca.key_id, crl_tbs(ca.public_key, NOW, number=3))


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P384, KeyAlgorithm.RSA3072, KeyAlgorithm.ED25519])
async def test_every_kind_of_key_gives_proof_of_life(signer: Running, algorithm: KeyAlgorithm) -> None:
    ca = await authority(signer, algorithm)
    async with signer.client("status") as status:
        report = await status.health(ca.key_id)
        assert report.signature
        assert (await status.health()).signature is None


async def test_checkpoints_extend_and_verify_with_the_notarys_key(signer: Running) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(9)]
    async with signer.client("worker") as worker:
        state = await worker.notary_state()
        key = NoteKey.parse(state.verifier_key)
        answer = await worker.checkpoint(0, leaves, NOW)
        assert answer.extended
        assert open_checkpoint(answer.note or "", key).root == root_of(leaves)
        behind = await worker.checkpoint(4, leaves[4:], NOW)
        assert (behind.extended, behind.size) == (False, 9)


async def test_the_socket_and_secrets_are_private_and_a_second_signer_does_not_start(signer: Running) -> None:
    assert stat.S_IMODE(signer.settings.socket.stat().st_mode) == 0o600
    for path in signer.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyUnavailable):
        await serve(signer.settings, lambda: None, clock=signer.clock)
    async with signer.client("web") as web:
        await web.health()


async def hello(signer: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_unix_connection(str(signer.settings.socket))
    size = int.from_bytes(await reader.readexactly(4), "big")
    greeting = protocol.decode_greeting(await reader.readexactly(size))
    assert isinstance(greeting, protocol.Hello)
    return reader, writer, greeting.nonce


async def proved(signer: Running, role: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer, nonce = await hello(signer)
    mine = handshake.new_nonce()
    mac = handshake.client_proof(read_secret(signer.secrets / f"{role}.secret"), role, nonce, mine)
    writer.write(protocol.frame(protocol.Prove(role, mine, mac)))
    size = int.from_bytes(await reader.readexactly(4), "big")
    assert isinstance(protocol.decode_greeting(await reader.readexactly(size)), protocol.Welcome)
    return reader, writer


async def rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        async with asyncio.timeout(120):
            return await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_proof_of_another_role_secret_or_connection_is_refused(signer: Running) -> None:
    web = read_secret(signer.secrets / "web.secret")
    mine = handshake.new_nonce()
    old_nonce = handshake.new_nonce()
    makers: list[Callable[[bytes], protocol.Prove]] = [
        lambda nonce: protocol.Prove("worker", mine, handshake.client_proof(web, "worker", nonce, mine)),
        lambda nonce: protocol.Prove("worker", mine, handshake.client_proof(web, "web", nonce, mine)),
        lambda _nonce: protocol.Prove("web", mine, handshake.client_proof(web, "web", old_nonce, mine)),
        lambda nonce: protocol.Prove("web", mine, handshake.server_proof(web, "web", nonce, mine)),
        lambda nonce: protocol.Prove("root", mine, handshake.client_proof(web, "root", nonce, mine)),
        lambda nonce: protocol.Prove("web", b"", handshake.client_proof(web, "web", nonce, b"")),
    ]
    for make in makers:
        reader, writer, nonce = await hello(signer)
        # A request right behind the proof is not looked at either.
        writer.write(protocol.frame(make(nonce)) + protocol.frame(protocol.ListKeys(1)))
        answer = await rest(reader, writer)
        assert b"signer.handshake" in answer
        assert b"keys" not in answer


@pytest.mark.parametrize(
    "sent",
    [
        protocol.frame(protocol.ListKeys(1)),
        (protocol.MAX_HANDSHAKE + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_before_the_proof_everything_else_ends_the_connection(signer: Running, sent: bytes) -> None:
    reader, writer, _ = await hello(signer)
    writer.write(sent)
    assert b"signer.malformed" in await rest(reader, writer)


@pytest.mark.parametrize("sent", [(256 * 1024 + 1).to_bytes(4, "big"), b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02[]"])
async def test_an_oversized_or_malformed_frame_ends_the_connection_and_no_other(signer: Running, sent: bytes) -> None:
    async with signer.client("web") as other:
        await other.health()
        reader, writer = await proved(signer, "web")
        writer.write(sent)
        assert b"signer.malformed" in await rest(reader, writer)
        await other.health()


async def test_a_peer_of_another_uid_is_not_even_greeted(signer: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.pki.signer.connection._peer_uid", lambda _transport: os.getuid() + 1)
    reader, writer = await asyncio.open_unix_connection(str(signer.settings.socket))
    assert await rest(reader, writer) == b""


async def test_a_client_refuses_a_server_that_does_not_know_the_secret(signer: Running, tmp_path: Path) -> None:
    other = tmp_path / "others"
    other.mkdir()
    (other / "web.secret").write_bytes(b"x" * 32)
    (other / "web.secret").chmod(0o600)

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.frame(protocol.Hello(protocol.VERSION, b"n" * 32)))
        await reader.read(1000)
        writer.write(protocol.frame(protocol.Welcome(b"m" * 32)))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(impostor, str(tmp_path / "impostor.sock"))
    async with SignerClient(tmp_path / "impostor.sock", "web", signer.secrets, timeout=0.5) as client:
        with pytest.raises(SignerUnavailable):
            await client.health()
    server.close()
    async with SignerClient(signer.settings.socket, "web", other, timeout=0.5) as client:
        with pytest.raises(SignerUnavailable, match="did not prove"):
            await client.health()


async def test_a_client_that_fetches_no_answers_does_not_stop_the_others(signer: Running) -> None:
    reader, writer = await proved(signer, "web")
    request = protocol.frame(protocol.Health(1, b"n" * 32))
    writer.write(request * 20_000)
    async with signer.client("web") as other:
        for _ in range(20):
            await other.health()
    writer.transport.abort()
    assert reader is not None
