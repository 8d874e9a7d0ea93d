"""tls-server and mutual-tls: nginx serves with them and asks for them, curl and Python's ssl decide whom to believe."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Consumer, Credential
from tests.support.programs import find_program

pytestmark = pytest.mark.xdist_group("tls")
HOST = "shop.corp.test"
NAME = ("dns", HOST)
DEVICE = {"device.name": "laptop-17", "user.name": "alice", "user.email": "alice@corp.test"}

_SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {credential.chain};
    ssl_certificate_key {credential.key};
    {more}
    location / {{ return 200 "subject=$ssl_client_s_dn verify=$ssl_client_verify\\n"; }}
  }}
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def nginx(bureau: Bureau, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, int]]:
    """A running nginx: the port of the server with a certificate of each of these profiles."""
    program, home = find_program("nginx"), tmp_path_factory.mktemp("nginx")
    clients = home / "clients.pem"
    clients.write_bytes(bureau.authority("issuing").read_bytes() + bureau.root.read_bytes())
    asking = f"ssl_verify_client on; ssl_verify_depth 2; ssl_client_certificate {clients};"
    servers = {
        "tls-server": (bureau.issue("tls-server", None, NAME), ""),
        "mutual-tls": (bureau.issue("mutual-tls", None, NAME), asking),
        "wifi-device": (bureau.issue("wifi-device", DEVICE, NAME), ""),
    }
    ports = dict(zip(servers, _free_ports(len(servers)), strict=True))
    blocks = "".join(
        _SERVER.format(port=ports[name], credential=credential, more=more)
        for name, (credential, more) in servers.items()
    )
    temporary = "".join(
        f"  {kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {home}/nginx.pid;\nevents {{ worker_connections 64; }}\n"
        f"http {{\n  access_log off;\n{temporary}{blocks}}}\n"
    )
    with (home / "out").open("wb") as output:
        process = subprocess.Popen(
            [str(program), "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        for port in ports.values():
            _wait(process, port, home / "out")
        yield ports
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _curl(consumer: Consumer, bureau: Bureau, port: int, *more: str | Path, fails: bool = False) -> str:
    return consumer.run(
        "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--cacert", bureau.root,
        "--resolve", f"{HOST}:{port}:127.0.0.1", *more, f"https://{HOST}:{port}/", fails=fails,
    )  # fmt: skip


def _as(credential: Credential) -> tuple[str | Path, ...]:
    return ("--cert", credential.chain, "--key", credential.key)


def test_curl_believes_an_nginx_with_a_tls_server_certificate(
    nginx: Mapping[str, int], consumer: Consumer, bureau: Bureau
) -> None:
    assert "verify=NONE" in _curl(consumer, bureau, nginx["tls-server"])


def test_curl_believes_no_server_with_a_certificate_for_clients(
    nginx: Mapping[str, int], consumer: Consumer, bureau: Bureau
) -> None:
    assert "unsuitable certificate purpose" in _curl(consumer, bureau, nginx["wifi-device"], fails=True)


def test_mutual_tls_serves_at_one_end_and_asks_at_the_other(
    nginx: Mapping[str, int], consumer: Consumer, bureau: Bureau
) -> None:
    caller = bureau.issue("mutual-tls", None, ("dns", "cart.corp.test"))

    assert "verify=SUCCESS" in _curl(consumer, bureau, nginx["mutual-tls"], *_as(caller))


def test_nginx_lets_no_client_in_with_a_certificate_for_servers(
    nginx: Mapping[str, int], consumer: Consumer, bureau: Bureau
) -> None:
    server = bureau.issue("tls-server", None, ("dns", "cart.corp.test"))

    assert "The SSL certificate error" in _curl(consumer, bureau, nginx["mutual-tls"], *_as(server))


@pytest.mark.parametrize("profile", ["mutual-tls", "client-device", "tls-server"])
def test_pythons_ssl_takes_callers_by_their_purpose(bureau: Bureau, profile: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=bureau.root)
    served = bureau.issue("mutual-tls", None, NAME)
    context.load_cert_chain(served.chain, served.key)
    context.verify_mode = ssl.CERT_REQUIRED
    caller = bureau.issue(profile, None, ("dns", "cart.corp.test"))
    calling = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=bureau.root)
    calling.load_cert_chain(caller.chain, caller.key)

    if profile == "tls-server":
        with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
            shake_hands(context, calling)
    else:
        assert shake_hands(context, calling)["subjectAltName"] == (("DNS", "cart.corp.test"),)


def shake_hands(serving: ssl.SSLContext, calling: ssl.SSLContext, host: str | None = HOST) -> dict[str, object]:
    """A TLS handshake in memory: the caller's certificate as the server has verified it. Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = calling.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = server.getpeercert()
    assert found is not None
    return dict(found)
