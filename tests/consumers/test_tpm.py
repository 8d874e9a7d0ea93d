"""A key in a TPM at work: nginx serves with it through OpenSSL's provider tpm2, configured as docs/tpm.md has it."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.programs import find_program, need_file
from tests.support.running import free_port
from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.keys.model import KeyType
from troth.agent.keys.tpm.keys import TpmKeys

DOCS = Path(__file__).parents[2] / "docs" / "tpm.md"


def configuration() -> str:
    """The openssl.cnf of the page."""
    (found,) = re.findall(r"```ini\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return found


def answer(port: int, certificate: Path) -> str:
    """What nginx says over TLS, believed on its certificate."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    plain = socket.create_connection(("127.0.0.1", port), 10)
    with plain, trusting.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return tls.makefile("rb").read().decode()


@pytest.mark.parametrize(("kind", "more"), [("rsa2048", ""), ("p256", "ssl_protocols TLSv1.3;")])
def test_nginx_serves_with_a_key_that_never_leaves_the_tpm(
    software_tpm: SoftwareTpm, tmp_path: Path, kind: KeyType, more: str
) -> None:
    need_file("/usr/lib/*/ossl-modules/tpm2.so", "tpm2-openssl")
    key = TpmKeys(tmp_path / "keys", tpm_of(software_tpm)).create("web", kind)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key, 7, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key.private_key(), hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.access().pem)
    (tmp_path / "openssl.cnf").write_text(configuration())
    port = free_port()
    temporary = "".join(
        f"  {kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/nginx.pid;\nevents {{ worker_connections 64; }}\n"
        f"http {{\n  access_log off;\n{temporary}  server {{\n    listen 127.0.0.1:{port} ssl; {more}\n"
        f"    ssl_certificate {tmp_path}/cert.pem;\n    ssl_certificate_key {tmp_path}/key.pem;\n"
        '    location / { return 200 "signed in a TPM"; }\n  }\n}\n'
    )
    environment = {
        **os.environ, "OPENSSL_CONF": str(tmp_path / "openssl.cnf"), "TPM2OPENSSL_TCTI": software_tpm.tcti,
        "TSS2_LOG": "all+NONE",
    }  # fmt: skip
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            [find_program("nginx"), "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr"],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (tmp_path / "out").read_text()
            time.sleep(0.02)
        assert "signed in a TPM" in answer(port, tmp_path / "cert.pem"), (tmp_path / "out").read_text()
    finally:
        process.terminate()
        process.wait(10)
