"""FreeRADIUS as an EAP-TLS server, and eapol_test (wpa_supplicant's code) as the device that joins."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Credential
from tests.support.programs import find_program

HOST = "radius.corp.test"
_SECRET = "between-tests"
_SECONDS = 120

_CONFIGURATION = """
name = radiusd
prefix = /usr
exec_prefix = /usr
sysconfdir = /etc
localstatedir = {home}
libdir = /usr/lib/freeradius
run_dir = {home}
db_dir = {home}
pidfile = {home}/radiusd.pid
max_requests = 64
hostname_lookups = no
security {{ allow_vulnerable_openssl = yes }}
log {{ destination = stdout
  auth = yes }}
thread pool {{ start_servers = 1
  max_servers = 2
  min_spare_servers = 1
  max_spare_servers = 2
  max_requests_per_server = 0 }}
client tests {{ ipaddr = 127.0.0.1
  secret = {secret}
  require_message_authenticator = yes }}
modules {{
  eap {{
    default_eap_type = tls
    tls-config common {{
      private_key_file = {server.key}
      certificate_file = {server.chain}
      ca_file = {clients}
      auto_chain = no
      tls_min_version = "1.2"
      tls_max_version = "1.2"
      ecdh_curve = ""
    }}
    tls {{ tls = common }}
  }}
}}
server default {{
  listen {{ type = auth
    ipaddr = 127.0.0.1
    port = {port} }}
  authorize {{
    eap
  }}
  authenticate {{
    eap
  }}
}}
"""

_SUPPLICANT = """
network={{
  key_mgmt=WPA-EAP
  eap=TLS
  identity="{identity}"
  ca_cert="{root}"
  domain_match="{host}"
  client_cert="{credential.chain}"
  private_key="{credential.key}"
  eapol_flags=0
}}
"""


@dataclass(frozen=True)
class RadiusServer:
    """A running FreeRADIUS."""

    home: Path
    port: int
    root: Path

    def join(self, credential: Credential, *, expected: str = HOST) -> tuple[bool, str]:
        """Join with a certificate: whether it was let in, and what both ends said."""
        return self.join_as(
            _SUPPLICANT.format(identity="someone", root=self.root, host=expected, credential=credential)
        )

    def join_as(self, told: str) -> tuple[bool, str]:
        """Join with a configuration of wpa_supplicant: whether it was let in, and what both ends said."""
        log = self.home / "radiusd.out"
        before = log.stat().st_size
        configuration = self.home / "supplicant.conf"
        configuration.write_text(told)
        done = subprocess.run(
            [str(find_program("eapol_test")), "-c", str(configuration), "-a", "127.0.0.1", "-p", str(self.port),
             "-s", _SECRET, "-t", "10"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
        with log.open("rb") as output:
            output.seek(before)
            told = done.stdout + output.read().decode(errors="replace")
        assert (done.returncode == 0) == done.stdout.rstrip().endswith("SUCCESS"), told
        return done.returncode == 0, told


def start(bureau: Bureau, server: Credential, home: Path) -> tuple[subprocess.Popen[bytes], RadiusServer]:
    """FreeRADIUS with ``server`` as its certificate, for devices and people of our own issuing authorities."""
    program = find_program("freeradius")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    clients = home / "clients.pem"
    authorities = [bureau.authority(slug).read_bytes() for slug in ("issuing", "people")]
    clients.write_bytes(b"".join([*authorities, bureau.root.read_bytes()]))
    (home / "radiusd.conf").write_text(
        _CONFIGURATION.format(home=home, secret=_SECRET, server=server, clients=clients, port=port)
    )
    with (home / "radiusd.out").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(program), "-f", "-l", "stdout", "-d", str(home)],
            env={"PATH": os.defpath}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    deadline = time.monotonic() + _SECONDS
    while "Ready to process requests" not in (told := (home / "radiusd.out").read_text(errors="replace")):
        assert process.poll() is None, told
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return process, RadiusServer(home, port, bureau.root)


@pytest.fixture(scope="module")
def radius_server(bureau: Bureau, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RadiusServer]:
    """A FreeRADIUS with a certificate of the profile ``radius-server``."""
    find_program("eapol_test")
    certificate = bureau.issue("radius-server", None, ("dns", HOST))
    process, server = start(bureau, certificate, tmp_path_factory.mktemp("radius"))
    yield server
    process.terminate()
    process.wait(10)
