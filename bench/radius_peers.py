"""FreeRADIUS as ``bench.radius`` measures it: Debian's program and library, EAP-TLS, audit, accounting and posture.

*threaded*: with the pool of threads that Debian ships. *single*: ``-s``, one thread. Each decision and all accounting
go into PostgreSQL, and at each decision it is asked whether the device is compliant now (``bench.radius_sql``), as with
Troth. *files*: the same without a database: decisions and accounting are lines of files, and nobody asks.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.radius_sql import POLICIES, POST_AUTH, Tables

SECRET = "between-benchmarks"  # noqa: S105 -- of a server that lives for a benchmark on loopback
_SECONDS = 30
_WHEEL = "psycopg-binary==3.3.9"

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
max_requests = 16384
max_request_time = 30
cleanup_delay = 5
hostname_lookups = no
security {{
  allow_vulnerable_openssl = yes
  status_server = yes
  reject_delay = 1
  max_attributes = 200
}}
log {{
  destination = stdout
  auth = yes
}}
thread pool {{
  start_servers = 5
  max_servers = 32
  min_spare_servers = 3
  max_spare_servers = 10
  max_requests_per_server = 0
  auto_limit_acct = no
}}
client bench {{
  ipaddr = 127.0.0.1
  secret = {secret}
  require_message_authenticator = yes
}}
modules {{
  eap {{
    default_eap_type = tls
    timer_expire = 60
    max_sessions = 16384
    tls-config common {{
      private_key_file = {key}
      certificate_file = {chain}
      ca_file = {clients}
      auto_chain = no
      fragment_size = 1024
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      ecdh_curve = ""
      cache {{
        enable = yes
        lifetime = 24
        name = "bench"
        persist_dir = "{home}/tlscache"
      }}
    }}
    tls {{ tls = common }}
  }}
{module}
  always reject {{ rcode = reject }}
  always ok {{ rcode = ok }}
}}
{policies}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
  }}
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {accounting}
  }}
  authorize {{
    eap {{ ok = return }}
  }}
  authenticate {{
    eap
  }}
  preacct {{
    {before}
  }}
  accounting {{
    {accounted}
  }}
  post-auth {{
    {decided}
    update reply {{
      Tunnel-Type := VLAN
      Tunnel-Medium-Type := IEEE-802
      Tunnel-Private-Group-Id := "100"
      Session-Timeout := 3600
    }}
  }}
}}
"""


_FILES = """
  detail auth_log {{
    filename = {home}/auth-detail
    permissions = 0600
    header = "%t"
  }}
  detail {{
    filename = {home}/detail
    permissions = 0600
    header = "%t"
  }}
"""


@dataclass(frozen=True)
class Peer:
    """A running server that is loaded.

    Attributes:
        pids: whose CPU counts, with everything below them.
        root: what devices verify it with.
        library: its TLS library.
        database: the processes of its PostgreSQL as they are now; counted apart.
    """

    name: str
    port: int
    secret: bytes
    root: Path
    pids: tuple[int, ...]
    library: str
    database: Callable[[], Sequence[int]] = tuple


def program() -> str | None:
    """Debian's FreeRADIUS, if it is installed."""
    return shutil.which("freeradius", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def library(path: str, libraries: Path | None) -> str:
    """The OpenSSL that a program runs with, as it calls itself."""
    linked = subprocess.run(["ldd", path], env=_environment(libraries), capture_output=True, text=True, check=True)
    found = next(line.split("=>")[1].split()[0] for line in linked.stdout.splitlines() if "libcrypto.so" in line)
    crypto = ctypes.CDLL(found)
    crypto.OpenSSL_version.restype = ctypes.c_char_p
    return str(crypto.OpenSSL_version(0).decode())


def modern_openssl() -> Path | None:
    """A directory with libssl and libcrypto of OpenSSL 3.5, taken once from a wheel that carries them; None without.

    Debian 12 has 3.0 and Troth's bindings bring a newer one: to compare servers and not libraries, FreeRADIUS is also
    run with this. Kept outside of the repository.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troth-bench" / _WHEEL
    if not (cache / "libssl.so.3").exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--only-binary", ":all:", _WHEEL]
        for pip in (command, ["python3", *command[1:]]):
            if subprocess.run(pip, cwd=cache, capture_output=True, check=False).returncode == 0:
                break
        for wheel in cache.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    stem = Path(name).name
                    if ".libs/" in name and stem.startswith(("libssl-", "libcrypto-")):
                        (cache / stem).write_bytes(archive.read(name))
                        (cache / f"{stem.partition('-')[0]}.so.3").symlink_to(stem)
    return cache if (cache / "libssl.so.3").exists() else None


def _environment(libraries: Path | None) -> dict[str, str]:
    if libraries is None:
        return {"PATH": os.defpath}
    # FreeRADIUS wants the legacy provider; the machine's is one for any OpenSSL 3.
    modules = next(iter(Path("/usr/lib").glob("*/ossl-modules")), Path())
    return {"PATH": os.defpath, "LD_LIBRARY_PATH": str(libraries), "OPENSSL_MODULES": str(modules)}


@contextmanager
def freeradius(
    home: Path,
    chain: Path,
    key: Path,
    clients: Path,
    root: Path,
    *,
    single: bool = False,
    libraries: Path | None = None,
    database: Tables | None = None,
) -> Iterator[Peer]:
    """FreeRADIUS with a certificate of its own, for devices below ``clients`` (PEM).

    ``libraries``: a directory whose libssl it is to run with. ``database``: None: it writes files.
    """
    path = program()
    if path is None:
        raise SystemExit("FreeRADIUS is not installed: apt-get install freeradius")
    home.mkdir()
    (home / "tlscache").mkdir()
    port, accounting = _free_port(), _free_port()
    (home / "radiusd.conf").write_text(
        _CONFIGURATION.format(
            home=home, secret=SECRET, key=key, chain=chain, clients=clients, port=port, accounting=accounting,
            module=_FILES.format(home=home) if database is None else database.module,
            policies="" if database is None else POLICIES,
            before="ok" if database is None else "acct_unique",
            accounted="detail" if database is None else "sql",
            decided="auth_log" if database is None else POST_AUTH,
        )
    )  # fmt: skip
    out = home / "out"
    command = [path, "-f", "-l", "stdout", "-d", str(home), *(["-s"] if single else [])]
    with out.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env=_environment(libraries), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _SECONDS
        while b"Ready to process requests" not in out.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"FreeRADIUS did not start:\n{out.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        name = f"FreeRADIUS {'-s' if single else 'threaded'}{' files' if database is None else ''}"
        pids = tuple if database is None else lambda: database.pids
        yield Peer(name, port, SECRET.encode(), root, (process.pid,), library(path, libraries), pids)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
