"""Other people's RADIUS servers as neighbours: FreeRADIUS that speaks PEAP, radsecproxy on either side."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import find_program
from tests.support.radsec import Files

SECRET = "between-neighbours"
_SECONDS = 120

_FREERADIUS = """
name = radiusd
prefix = /usr
exec_prefix = /usr
sysconfdir = /etc
localstatedir = {home}
libdir = /usr/lib/freeradius
run_dir = {home}
db_dir = {home}
pidfile = {home}/radiusd.pid
max_requests = 1024
hostname_lookups = no
security {{ allow_vulnerable_openssl = yes
  status_server = yes }}
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
  pap {{ }}
  mschap {{ use_mppe = no }}
  always ok {{ rcode = ok }}
  files {{ usersfile = {home}/users }}
  eap {{
    default_eap_type = peap
    tls-config common {{
      private_key_file = {server.key}
      certificate_file = {server.chain}
      auto_chain = no
      tls_min_version = "1.2"
      tls_max_version = "1.2"
      ecdh_curve = ""
    }}
    peap {{ tls = common
      default_eap_type = mschapv2
      virtual_server = inner }}
    mschapv2 {{ }}
  }}
}}
server default {{
  listen {{ type = auth
    ipaddr = 127.0.0.1
    port = {port} }}
  authorize {{
    eap {{
      ok = return
    }}
    files
    pap
    Autz-Type Status-Server {{
      ok
    }}
  }}
  authenticate {{
    eap
    Auth-Type PAP {{
      pap
    }}
  }}
}}
server inner {{
  authorize {{
    mschap
    eap {{
      ok = return
    }}
    files
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
}}
"""

_RADSECPROXY = """
LogLevel 2
{listen}
tls default {{
  CACertificateFile {authority}
  CertificateFile {own.chain}
  CertificateKeyFile {own.key}
}}
{client}
{server}
realm * {{
  server there
}}
"""


@dataclass(frozen=True)
class Running:
    """A program at a port of loopback."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    log: Path

    def stop(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait(10)

    def told(self) -> str:
        """What it said."""
        return self.log.read_text(errors="replace")


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def freeradius(server: Files, home: Path, users: str) -> Running:
    """FreeRADIUS for PEAP with MSCHAPv2, and PAP. ``users``: its users file."""
    program, port = find_program("freeradius"), free_port()
    home.mkdir(exist_ok=True)
    (home / "users").write_text(users)
    (home / "radiusd.conf").write_text(_FREERADIUS.format(home=home, secret=SECRET, server=server, port=port))
    return _started([str(program), "-f", "-l", "stdout", "-d", str(home)], port, home, "Ready to process requests")


def radsecproxy(
    own: Files, authority: Path, home: Path, *, to_tls: int | None = None, to_udp: int | None = None
) -> Running:
    """radsecproxy from UDP to a RadSec server at ``to_tls``, or from RadSec to a UDP server at ``to_udp``."""
    program = find_program("radsecproxy")
    home.mkdir(exist_ok=True)
    if to_tls is not None:
        port = free_port()
        listen, client = f"ListenUDP 127.0.0.1:{port}", "type udp\n  secret " + SECRET
        server = f"type tls\n  port {to_tls}\n  secret radsec\n  StatusServer on\n  CertificateNameCheck off"
    else:
        port = free_port(socket.SOCK_STREAM)
        listen, client = f"ListenTLS 127.0.0.1:{port}", "type tls\n  secret radsec\n  CertificateNameCheck off"
        server = f"type udp\n  port {to_udp}\n  secret {SECRET}"
    configuration = home / "radsecproxy.conf"
    configuration.write_text(
        _RADSECPROXY.format(
            listen=listen, authority=authority, own=own,
            client=f"client here {{\n  host 127.0.0.1\n  {client}\n}}",
            server=f"server there {{\n  host 127.0.0.1\n  {server}\n}}",
        )
    )  # fmt: skip
    return _started([str(program), "-f", "-c", str(configuration)], port, home, "listening for")


def _started(command: list[str], port: int, home: Path, ready: str) -> Running:
    log = home / f"{Path(command[0]).name}.out"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], env={"PATH": os.defpath}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    found = Running(process, port, home, log)
    deadline = time.monotonic() + _SECONDS
    while ready not in found.told():
        assert process.poll() is None, found.told()
        assert time.monotonic() < deadline, found.told()
        time.sleep(0.05)
    return found
