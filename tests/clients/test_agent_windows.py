"""A Windows device proves itself by its TPM: Windows' Python runs the real command against a running Troth.

Wine stands for Windows, a double for its TPM Base Services, a software TPM for the TPM (``tests/support/windows.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.running import RunningTroth
from tests.support.software_tpm import SoftwareTpm, tpm_of
from tests.support.windows import Windows, path

pytestmark = pytest.mark.client

SERIAL = "PF2WINDOWS"


@pytest.fixture
def config(windows: Windows, troth: RunningTroth, tmp_path: Path, software_tpm: SoftwareTpm) -> Iterator[Path]:
    # Tests of one process share Troth and the TPM, which belongs to one device at a time.
    key = x509.load_der_x509_certificate(software_tpm.ek_certificate).public_key()
    ek = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    troth.run("tpm", "remove", ek, check=False)
    devices = tmp_path / "devices.yaml"
    devices.write_text(
        "source: windows\nusers:\n  - {name: wanda, enabled: true}\n"
        f"devices:\n  - {{name: laptop-windows, owner: wanda, managed: true, serial: {SERIAL}}}\n"
    )
    troth.run("apply", "-f", str(devices))
    windows.environment["TROTH_TEST_TBS_PORT"] = software_tpm.tcti.rpartition("=")[2]
    base = troth.directory.split("/acme/")[0]
    hook = tmp_path / "hook.py"
    hook.write_text(
        f"import os; open({str(path(tmp_path / 'hooked'))!r}, 'a').write(os.environ['TROTH_SERIAL'] + os.sep + '\\n')"
    )
    made = tmp_path / "agent.toml"
    made.write_text(f"""
[agent]
state = '{path(tmp_path / "state")}'
[issuer.troth]
directory = "{base}/acme/devices/directory"
trust = '{path(troth.root)}'
[certificate.identity]
names = ["permanent-identifier:{SERIAL}"]
purposes = ["client"]
key = {{ kind = "tpm", attestation_ca = "{base}/tpm" }}
reload = {{ command = ['{path(Path(".windows/python/python.exe"))}', '{path(hook)}'] }}
output = [
  {{ form = "fullchain", path = '{path(tmp_path / "identity.pem")}' }},
  {{ form = "key", path = '{path(tmp_path / "identity.key")}' }},
]
""")
    yield made
    troth.run("tpm", "remove", ek, check=False)


def test_a_windows_device_gets_and_renews_its_identity_by_its_tpm(
    windows: Windows, troth: RunningTroth, config: Path, tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    def agent(command: str, *arguments: str) -> tuple[int, str]:
        done = windows.troth("agent", command, *arguments, "--config", path(config))
        return done.returncode, done.stdout + done.stderr

    code, said = agent("check")
    assert code == 0, said
    code, said = agent("once")
    assert (code, "agent.attestation.refused" in said) == (1, True), said
    ek = tmp_path / "ek.der"
    ek.write_bytes(software_tpm.ek_certificate)
    troth.run("tpm", "register", "--device", "laptop-windows", "--ek", str(ek), "--identifier", SERIAL)

    code, said = agent("renew", "identity")
    assert code == 0, said
    first = x509.load_pem_x509_certificates((tmp_path / "identity.pem").read_bytes())[0]
    [identity] = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.OtherName
    )
    assert SERIAL.encode() in identity.value
    told = json.loads(troth.run("why", f"{first.serial_number:x}", "--output", "json").stdout)
    assert "attested" in json.dumps(told)

    key, digest = (tmp_path / "identity.key").read_bytes(), hashlib.sha256(b"whose key is it").digest()
    r, s = tpm_of(software_tpm).sign(key, digest, "ecdsa", "sha256")
    public = first.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = utils.encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    code, said = agent("once")
    assert code == 0, said
    assert x509.load_pem_x509_certificates((tmp_path / "identity.pem").read_bytes())[0] == first
    code, said = agent("renew", "identity")
    assert code == 0, said
    second = x509.load_pem_x509_certificates((tmp_path / "identity.pem").read_bytes())[0]
    assert second.serial_number != first.serial_number
    assert (tmp_path / "hooked").read_text().splitlines() == [
        f"{one.serial_number:x}\\" for one in (first, second)
    ], "the hook ran with Windows' own separator"  # fmt: skip
    code, said = agent("status", "--output", "json")
    [state] = json.loads(said[said.index("{") :])["certificates"]
    assert (code, state["state"], state["generation"]) == (0, "good", 2)


def test_without_a_tpm_it_is_told_in_words(windows: Windows, config: Path) -> None:
    windows.environment["TROTH_TEST_TBS_NO_TPM"] = "1"
    try:
        done = windows.troth("agent", "once", "--config", path(config))
    finally:
        del windows.environment["TROTH_TEST_TBS_NO_TPM"]
    assert done.returncode == 1
    assert "no TPM 2.0 that Windows knows" in done.stderr
