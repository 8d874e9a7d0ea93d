"""Apache's mod_md: the server gets its certificates itself, and shows them from its next restart on."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.support.programs import need_file

pytestmark = pytest.mark.client

#: Apache's own address: its ports are those where validation looks, and on 127.0.0.1 others have them.
ADDRESS = "127.0.0.3"
_MODULES = "/usr/lib/apache2/modules"
_STAGED_SECONDS = 300.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that Apache may reach when root has started it: it goes on as nobody."""
    with tempfile.TemporaryDirectory(prefix="troth-apache-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def configured(client: Client, home: Path, name: str, challenge: str, renew: str) -> Path:
    """A site ``name`` whose certificates mod_md gets from the running Troth."""
    need_file(f"{_MODULES}/mod_md.so", "apache2-bin")
    client.troth.dns.set_a(name, ADDRESS)
    http, https = client.troth.web_root.port, client.troth.tls_alpn_port
    loaded = "\n".join(
        f"LoadModule {one}_module {_MODULES}/mod_{one}.so" for one in ("mpm_event", "authz_core", "ssl", "md")
    )
    config = home / "apache.conf"
    (home / "root.pem").write_bytes(client.troth.root.read_bytes())
    config.write_text(
        f"""{loaded}
{"User nobody" if os.geteuid() == 0 else ""}
{"Group nogroup" if os.geteuid() == 0 else ""}
ServerRoot {home}
DefaultRuntimeDir {home}
PidFile {home}/pid
ErrorLog /dev/stderr
LogLevel warn md:info
ServerName {name}
Listen {ADDRESS}:{http}
Listen {ADDRESS}:{https}
MDPortMap http:{http} https:{https}
MDCertificateAuthority {client.troth.directory}
MDCACertificateFile {home}/root.pem
MDCertificateAgreement accepted
MDContactEmail apache@example.org
MDPrivateKeys secp256r1
MDStoreDir {home}/md
MDCAChallenges {challenge}
MDRetryDelay 5s
MDRenewWindow {renew}
MDomain {name}
<VirtualHost {ADDRESS}:{http}>
  ServerName {name}
</VirtualHost>
<VirtualHost {ADDRESS}:{https}>
  ServerName {name}
  SSLEngine on
  Protocols http/1.1 acme-tls/1
</VirtualHost>
"""
    )
    return config


def staged(home: Path, name: str, log: Path) -> None:
    """Wait until mod_md has a certificate that a restart would activate."""
    job = home / "md" / "staging" / name / "job.json"
    deadline = time.monotonic() + _STAGED_SECONDS
    while not (job.is_file() and json.loads(job.read_text() or "{}").get("finished")):
        assert time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.1)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_apache_gets_a_certificate_and_shows_it_after_a_restart(client: Client, home: Path, challenge: str) -> None:
    port, name = client.troth.tls_alpn_port, f"{challenge}.apache.test"
    config = configured(client, home, name, challenge, "33%")
    with client.serving("apache2", "-DFOREGROUND", "-f", config) as log:
        staged(home, name, log)
    # Now with a window in which every certificate is due: the first is shown, and another is made beside it.
    config = configured(client, home, name, challenge, "4000d")
    with client.serving("apache2", "-DFOREGROUND", "-f", config) as log:
        first = client.served(ADDRESS, port, name, log)
        staged(home, name, log)
    with client.serving("apache2", "-DFOREGROUND", "-f", config) as log:
        client.served(ADDRESS, port, name, log, other_than=first.serial_number)
