"""A whole report from a tree, listeners and trust stores; and the service that sends it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.mint import ca_certificate
from tests.unit.agent.survey.test_formats import DER, KEY_PEM, OTHER, keystore, pem, private, trusted
from troth.agent.survey import collect as collecting
from troth.agent.survey import listeners
from troth.agent.survey.collect import collect
from troth.agent.survey.listeners import Served
from troth.agent.survey.settings import SurveySettings
from troth.agent.survey.stores import stores
from troth.agent.survey.walk import Walk
from troth.kit.clock import FakeClock


def looked(clock: FakeClock, *paths: Path, served: tuple[Served, ...] = (), **more: Any) -> dict[str, Any]:
    settings = SurveySettings(
        server="https://a", certificate="node", paths=tuple(map(str, paths)), usual_paths=False, posture=False, **more
    )
    return collect(settings, clock, served)


def places(report: dict[str, Any]) -> set[tuple[str, str, str, bool]]:
    digests = [hashlib.sha256(base64.b64decode(one)).hexdigest() for one in report["certificates"]]
    names = {hashlib.sha256(DER).hexdigest(): "leaf", hashlib.sha256(OTHER).hexdigest(): "ca"}
    return {
        (names[digests[one["certificate"]]], Path(one["place"]).name, one["kind"], one["key"])
        for one in report["sightings"]
    }


def test_each_certificate_is_told_once_with_every_place(clock: FakeClock, tmp_path: Path) -> None:
    (tmp_path / "fullchain.pem").write_bytes(pem(DER) + pem(OTHER))
    (tmp_path / "privkey.pem").write_bytes(KEY_PEM)
    (tmp_path / "both.pem").write_bytes(KEY_PEM + pem(DER))
    (tmp_path / "web.crt").write_bytes(DER)
    (tmp_path / "web.key").write_bytes(b"a key")
    (tmp_path / "a.jks").write_bytes(keystore(private("web", DER), trusted("root", OTHER)))
    (tmp_path / "locked.p12").write_bytes(
        b"\x30\x82\x01\x00\x02\x01\x03\x30\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
    )
    (tmp_path / "bundle.pem").write_bytes(pem(OTHER) * 30)
    report = looked(clock, tmp_path, served=(Served("tcp:0.0.0.0:443", DER),))
    assert len(report["certificates"]) == 2
    assert places(report) == {
        ("leaf", "fullchain.pem", "file", True), ("ca", "fullchain.pem", "file", False),
        ("leaf", "both.pem", "file", True), ("leaf", "web.crt", "file", True),
        ("leaf", "a.jks#web", "keystore", True), ("ca", "a.jks#root", "keystore", False),
        ("leaf", "tcp:0.0.0.0:443", "listener", False),
    }  # fmt: skip
    assert any("with a password" in one for one in report["cut"])
    assert any("bundle of 30" in one for one in report["cut"])


def test_no_octet_of_a_key_is_in_a_report(clock: FakeClock, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "a.pem").write_bytes(text + pem(DER))
    report = json.dumps(looked(clock, tmp_path))
    body = b"".join(text.splitlines()[1:-1])
    assert all(body[at : at + 16].decode() not in report for at in range(32, len(body) - 16, 4))
    sent = b"".join(base64.b64decode(one) for one in json.loads(report)["certificates"])
    assert key.private_numbers().private_value.to_bytes(32, "big")[:8] not in sent


def test_a_report_stays_within_what_the_server_takes(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pem").write_bytes(pem(DER) + pem(OTHER))
    monkeypatch.setattr(collecting, "MAX_CERTIFICATES", 1)
    report = looked(clock, tmp_path)
    assert len(report["certificates"]) == 1
    assert any("more certificates" in one for one in report["cut"])


def test_trust_stores_are_told_with_their_roots(clock: FakeClock, tmp_path: Path) -> None:
    bundle = tmp_path / "etc/ssl/certs/ca-certificates.crt"
    java = tmp_path / "etc/ssl/certs/java/cacerts"
    jvm = tmp_path / "usr/lib/jvm/17/lib/security/cacerts"
    nss = tmp_path / "home/a/.pki/nssdb/cert9.db"
    for path in (bundle, java, jvm, nss):
        path.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(pem(DER) + pem(OTHER))
    java.write_bytes(keystore(trusted("root", OTHER)))
    jvm.symlink_to(java)
    nss.write_bytes(b"")
    walk = Walk(clock)
    found = {one.name: one for one in stores(walk, tmp_path)}
    assert set(found["system"].roots or ()) == {hashlib.sha256(one).hexdigest() for one in (DER, OTHER)}
    assert found["java"].roots == (hashlib.sha256(OTHER).hexdigest(),)
    assert found["nss"].roots is None
    assert len(list(stores(walk, tmp_path))) == 3  # the JVM's is a link to the system's
    java.write_bytes(keystore(version=9))
    assert {one.name: one.roots for one in stores(walk, tmp_path)}["java"] is None
    assert walk.cut


def test_listening_sockets_are_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    head = "  sl  local_address rem_address   st\n"
    (tmp_path / "net/tcp").write_text(
        head
        + "   0: 0100007F:01BB 00000000:0000 0A 0\n   1: 00000000:20FB 00000000:0000 0A 0\n"
        + "   2: 0100007F:01BC 00000000:0000 01 0\n   3: junk\n   4: ZZ:1 0:0 0A 0\n   5: 01:1 0:0 0A\n"
    )
    (tmp_path / "net/tcp6").write_text(head + "   0: 00000000000000000000000001000000:01BB 0:0 0A 0\n")
    assert listeners.listening(tmp_path) == [("0.0.0.0", 8443), ("127.0.0.1", 443), ("::1", 443)]
    assert listeners.listening(tmp_path / "nowhere") == []


@contextlib.asynccontextmanager
async def tls_server(tmp_path: Path) -> AsyncIterator[tuple[int, bytes]]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = ca_certificate(key, "Served", datetime.datetime.now(datetime.UTC))
    identity = tmp_path / "identity.pem"
    identity.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], certificate.public_bytes(Encoding.DER)


async def test_what_a_socket_serves_is_asked_and_silence_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_SECONDS", 2.0)
    plain = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with tls_server(tmp_path) as (port, der), plain:
        other = plain.sockets[0].getsockname()[1]
        asked = [("0.0.0.0", port), ("127.0.0.1", other), ("127.0.0.1", 1), ("127.0.0.1", 99)]
        found = await listeners.served(asked, frozenset({port, other, 1}))
    assert found == [Served(f"tcp:0.0.0.0:{port}", der)]
