"""A TPM 2.0 in software (swtpm), one per test process: made, with an endorsement key certified by a CA of its own.

A TPM belongs to whoever speaks with it, one at a time, and has three slots for transient objects: a test that loads
objects by itself flushes them. ``tcti`` is what tpm2-tss calls the connection; ``TPM2TOOLS_TCTI`` takes the same text.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.programs import find_program
from troth.agent.keys.tpm.device import Tpm


@dataclass(frozen=True)
class SoftwareTpm:
    """A running TPM.

    Attributes:
        tcti: ``swtpm:host=127.0.0.1,port=…``.
        ek_root: the certificate of the CA that certified its endorsement key, DER.
        ek_certificate: that certificate of its RSA endorsement key, DER; NV index 0x01c00002 holds the same.
        ecc_ek_certificate: that of its P-384 endorsement key (0x01c00016).
    """

    tcti: str
    ek_root: bytes
    ek_certificate: bytes
    ecc_ek_certificate: bytes


def _manufacturer(directory: Path) -> bytes:
    """The CA of this TPM's manufacturer in ``directory``, as swtpm_localca wants it; its certificate, DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Software TPMs of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    (directory / "root.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "localca.conf").write_text(
        f"statedir={directory}\nsigningkey={directory}/key.pem\nissuercert={directory}/root.pem\n"
        f"certserial={directory}/serial\n"
    )
    (directory / "localca.options").write_text(
        "--platform-manufacturer Troth\n--platform-version 1\n--platform-model tests\n"
    )
    (directory / "setup.conf").write_text(
        f"create_certs_tool={find_program('swtpm_localca')}\ncreate_certs_tool_config={directory}/localca.conf\n"
        f"create_certs_tool_options={directory}/localca.options\nactive_pcr_banks=sha256\n"
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def _two_ports() -> int:
    """A loopback port that is free together with the next, where tpm2-tss expects the control channel."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise RuntimeError("no two neighbouring ports are free")


def _start(directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A process that serves the state in ``directory``, and its port."""
    for _ in range(5):
        port = _two_ports()
        process = subprocess.Popen(
            [
                find_program("swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={directory}/state",
                "--server", f"type=tcp,bindaddr=127.0.0.1,port={port}",
                "--ctrl", f"type=tcp,bindaddr=127.0.0.1,port={port + 1}",
                "--flags", "not-need-init,startup-clear",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port + 1)) == 0:
                    return process, port
            time.sleep(0.01)
    raise RuntimeError("swtpm does not start")


@pytest.fixture(scope="session")
def software_tpm() -> Iterator[SoftwareTpm]:
    """A TPM of this test process."""
    find_program("swtpm_setup")
    with tempfile.TemporaryDirectory(prefix="troth-tpm-") as made:
        directory = Path(made)
        (directory / "state").mkdir()
        root = _manufacturer(directory)
        subprocess.run(
            [
                find_program("swtpm_setup"), "--tpm2", "--tpmstate", directory / "state", "--config",
                directory / "setup.conf", "--create-ek-cert", "--write-ek-cert-files", directory, "--overwrite",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        process, port = _start(directory)
        try:
            rsa, ecc = ((directory / f"ek-{kind}.crt").read_bytes() for kind in ("rsa2048", "secp384r1"))
            yield SoftwareTpm(f"swtpm:host=127.0.0.1,port={port}", root, rsa, ecc)
        finally:
            process.terminate()
            process.wait(10)


def tpm_of(software: SoftwareTpm) -> Tpm:
    """The agent's connection to it."""
    return Tpm(software.tcti)
