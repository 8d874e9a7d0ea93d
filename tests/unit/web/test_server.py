from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from troth.kit.lane import Lane, Request, Response, Route
from troth.web import hot
from troth.web.peercred import PEER_UID
from troth.web.server import Listening, serve
from troth.web.tls import ServerTls

CERTIFICATE_PEM = serialization.Encoding.PEM


def identity(name: str) -> bytes:
    """A self-signed certificate for ``name`` that may also be a client's, with its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pkcs8 = key.private_bytes(CERTIFICATE_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(CERTIFICATE_PEM) + pkcs8


def tcp() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serving(*listenings: Listening) -> AsyncIterator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(listenings, stop=stop, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 120)
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 120)


async def whoami(request: Request) -> Response:
    certificate = request.tls_client_cert
    return Response(200, json.dumps({"client": certificate.hex() if certificate else None}).encode())


async def failed(_request: Request, error: Exception) -> Response:
    raise error


LANE = Lane([Route("/", {"GET": whoami, "POST": whoami}, permission="public")], on_error=failed)


async def get(address: tuple[str, int] | str, raw: bytes = b"", tls: ssl.SSLContext | None = None) -> bytes:
    request = raw or b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname=name)
    try:
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 120)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def trusting(pem: bytes, client: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem[: pem.index(b"-----BEGIN PRIVATE KEY")].decode())
    if client is not None:
        context.load_cert_chain(client)
    return context


@pytest.fixture
def identity_file(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    path.write_bytes(identity("localhost"))
    return path


async def test_several_listeners_answer_in_one_process_and_do_not_tell_what_they_are(tmp_path: Path) -> None:
    first, second = tcp(), tcp()
    async with serving(Listening(app=LANE, sockets=[first]), Listening(app=LANE, sockets=[second])):
        for listener in (first.getsockname(), second.getsockname()):
            answer = await get(listener)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"server:" not in answer.lower()


async def test_the_application_sees_the_clients_certificate_and_nothing_without_one(
    tmp_path: Path, identity_file: Path
) -> None:
    client = tmp_path / "client.pem"
    client.write_bytes(identity("device-7"))
    der = x509.load_pem_x509_certificate(client.read_bytes()).public_bytes(serialization.Encoding.DER)
    tls = ServerTls(identity_file, asks=True)
    tls.take([der])
    tls.take([der])  # once more changes nothing
    listener = tcp()
    address = listener.getsockname()
    async with serving(Listening(app=LANE, sockets=[listener], tls=tls)):
        with_one = await get(address, tls=trusting(identity_file.read_bytes(), client))
        without = await get(address, tls=trusting(identity_file.read_bytes()))
    assert json.loads(with_one.rpartition(b"\r\n")[2]) == {"client": der.hex()}
    assert json.loads(without.rpartition(b"\r\n")[2]) == {"client": None}


async def test_a_renewed_certificate_is_shown_without_a_restart(identity_file: Path) -> None:
    tls = ServerTls(identity_file)
    listener = tcp()
    address = listener.getsockname()
    async with serving(Listening(app=LANE, sockets=[listener], tls=tls)):
        old = trusting(identity_file.read_bytes())
        assert b" 200 " in await get(address, tls=old)
        assert not tls.reload()
        fresh = identity_file.with_suffix(".new")
        fresh.write_bytes(identity("localhost"))
        fresh.replace(identity_file)
        assert tls.reload()
        assert b" 200 " in await get(address, tls=trusting(identity_file.read_bytes()))
        with pytest.raises(ssl.SSLCertVerificationError):
            await get(address, tls=old)


async def test_an_identity_that_does_not_fit_together_changes_nothing(identity_file: Path) -> None:
    tls = ServerTls(identity_file)
    old = identity_file.read_bytes()
    listener = tcp()
    async with serving(Listening(app=LANE, sockets=[listener], tls=tls)):
        mark = b"-----BEGIN PRIVATE KEY"
        fresh = identity_file.with_suffix(".new")
        fresh.write_bytes(identity("localhost").partition(mark)[0] + mark + old.partition(mark)[2])
        fresh.replace(identity_file)
        with pytest.raises(ssl.SSLError):
            tls.reload()
        assert b" 200 " in await get(listener.getsockname(), tls=trusting(old))


async def test_a_unix_peer_is_known_by_its_uid(tmp_path: Path) -> None:
    seen: list[object] = []

    async def app(scope, _receive, send) -> None:  # type: ignore[no-untyped-def]
        seen.append(scope["state"].get(PEER_UID))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "a.sock"))
    plain = tcp()
    async with serving(Listening(app=app, sockets=[listener]), Listening(app=app, sockets=[plain])):
        await get(str(tmp_path / "a.sock"))
        await get(plain.getsockname())
    assert seen == [os.getuid(), None]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100)) + b"\r\n",
        b"\x16\x03\x01 not http at all\r\n\r\n",
    ],
)
async def test_an_endless_or_senseless_head_is_refused(head: bytes) -> None:
    listener = tcp()
    async with serving(Listening(app=LANE, sockets=[listener])):
        answer = await get(listener.getsockname(), head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_dribbles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "READ_SECONDS", 0.3)
    listener = tcp()
    async with serving(Listening(app=LANE, sockets=[listener])):
        for first in (b"", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc"):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(first)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 120) == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_request_under_way_is_finished_when_the_server_stops() -> None:
    begun = asyncio.Event()

    async def slow(_request: Request) -> Response:
        begun.set()
        await asyncio.sleep(0.5)
        return Response(200, b"done")

    lane = Lane([Route("/", {"GET": slow}, permission="public")], on_error=failed)
    listener = tcp()
    async with serving(Listening(app=lane, sockets=[listener])):
        asking = asyncio.create_task(get(listener.getsockname()))
        await begun.wait()
    assert (await asking).endswith(b"done")


async def test_a_link_to_the_connection_is_told_where_tls_has_one(tmp_path: Path, identity_file: Path) -> None:
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response(200, b"ok")

    lane = Lane([Route("/", {"GET": look}, permission="public")], on_error=failed)
    client = tmp_path / "client.pem"
    client.write_bytes(identity("device-7"))
    der = x509.load_pem_x509_certificate(client.read_bytes()).public_bytes(serialization.Encoding.DER)
    tls = ServerTls(identity_file, asks=True)
    tls.take([der])
    listener = tcp()
    async with serving(Listening(app=lane, sockets=[listener], tls=tls)):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(identity_file.read_bytes(), client)
            context.minimum_version = context.maximum_version = version
            where = listener.getsockname()[:2]
            reader, writer = await asyncio.open_connection(*where, ssl=context, server_hostname="localhost")
            unique = writer.get_extra_info("ssl_object").get_channel_binding("tls-unique")
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert b" 200 " in await reader.read()
            writer.close()
            # Under TLS 1.3 OpenSSL has octets for it that bind nothing (RFC 9266, 1).
            assert seen[-1].tls_unique == (unique if version is ssl.TLSVersion.TLSv1_2 else None)
            assert seen[-1].tls_client_chain == (der,)
