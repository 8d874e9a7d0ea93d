"""Go's ACME libraries, in a program beside this file: what cert-manager, Traefik and newer Caddys are made with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from tests.clients.conftest import Client
from tests.support.programs import missing

pytestmark = [pytest.mark.client, pytest.mark.timeout(1200)]

_SOURCE = Path(__file__).parent / "go"
_BUILD_SECONDS = 300


@pytest.fixture(scope="session")
def go_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built. No Debian package has these libraries as new, so they come from where Go has its modules."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/go/bin")
    if go is None:
        pytest.skip("Go is not installed here, and scripts/setup does not install it")
    built = tmp_path_factory.mktemp("go") / "clients"
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-o", built, "."],
        cwd=_SOURCE, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        missing(f"Go's libraries could not be built: {done.stderr[-2000:]}")
    return built


@pytest.mark.parametrize("library", ["x-crypto", "acmez", "certmagic", "lego"])
def test_a_library_obtains_renews_and_revokes(client: Client, go_clients: Path, library: str) -> None:
    troth, name = client.troth, f"{library}.go.test"
    done = subprocess.run(
        [go_clients, library, troth.directory, troth.root, troth.web_root.directory, str(troth.tls_alpn_port), name],
        cwd=client.home, env=client.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{troth.log()[-3000:]}"
    first = client.judge(client.home / "first.pem", name)
    second, _issuer = x509.load_pem_x509_certificates((client.home / "second.pem").read_bytes())
    assert second.serial_number != first.serial_number
    assert client.revoked(second, client.home / "second.pem") == "superseded"
