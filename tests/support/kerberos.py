"""A Kerberos realm of MIT's KDC on a port of its own: it checks usages and CRLs, which Samba's does not."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Credential
from tests.support.programs import find_program, need_file

#: In lower case: the domain of a UPN is written so, and MIT compares it with the realm as it stands.
REALM, HOST = "mit.test", "kdc.mit.test"
FACTS = {"user.name": "alice", "user.upn": f"alice@{REALM}", "user.email": "alice@mit.test",
         "user.sid": "S-1-5-21-1004336348-1177238915-682003330-1105"}  # fmt: skip
_SECONDS = 120

_SERVER = """
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {home}/principal
  key_stash_file = {home}/stash
  pkinit_identity = FILE:{controller.certificate},{controller.key}
  pkinit_anchors = FILE:{root}
  pkinit_pool = FILE:{pool}
  pkinit_revoke = FILE:{crls}
  pkinit_require_crl_checking = yes
  pkinit_allow_upn = yes
  pkinit_eku_checking = kpClientAuth
 }}
[logging]
 kdc = FILE:{home}/kdc.log
"""
_CLIENT = """
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 rdns = false
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
  pkinit_anchors = FILE:{root}
  pkinit_pool = FILE:{pool}
  pkinit_kdc_hostname = {host}
 }}
"""


@dataclass(frozen=True)
class Realm:
    """The running KDC, in which alice has an account.

    Attributes:
        lost: alice's card that is revoked in the CRL that the KDC reads.
    """

    home: Path
    lost: Credential

    @property
    def environment(self) -> dict[str, str]:
        """Which files the programs of Kerberos read."""
        return {
            "PATH": os.defpath, "KRB5_CONFIG": str(self.home / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.home / "kdc.conf"),
        }  # fmt: skip

    def administer(self, program: str, *arguments: str) -> None:
        """Run one of its programs. Raises AssertionError."""
        done = subprocess.run(
            [str(find_program(program)), "-r", REALM, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def log_on(self, credential: Credential) -> tuple[bool, str]:
        """Log alice on by certificate alone: whether a ticket came, and what kinit and the KDC said."""
        log = self.home / "kdc.log"
        before = log.stat().st_size
        cache = self.home / f"cache-{time.monotonic_ns()}"
        done = subprocess.run(
            [str(find_program("kinit")), "-X", f"X509_user_identity=FILE:{credential.certificate},{credential.key}",
             f"alice@{REALM}"],
            env={**self.environment, "KRB5CCNAME": f"FILE:{cache}", "KRB5_TRACE": "/dev/stderr"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
        assert cache.exists() == (done.returncode == 0), done.stdout
        with log.open("rb") as output:
            output.seek(before)
            return done.returncode == 0, done.stdout + output.read().decode(errors="replace")


@contextmanager
def running_realm(bureau: Bureau, controller: Credential, home: Path) -> Iterator[Realm]:
    """A realm whose KDC shows ``controller`` and reads current CRLs of every authority on the way to the root."""
    need_file("/usr/lib/*/krb5/plugins/preauth/pkinit.so", "krb5-pkinit")
    program, lost = find_program("krb5kdc"), bureau.issue("smartcard-logon", FACTS)
    crls, pool = home / "crls.pem", home / "pool.pem"
    crls.write_bytes(
        b"".join(one.read_bytes() for one in (bureau.crl("people", lost), bureau.crl("issuing"), bureau.crl("root")))
    )
    slugs = ("issuing", "people", "infrastructure")
    pool.write_bytes(b"".join(bureau.authority(slug).read_bytes() for slug in slugs))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    values = {"realm": REALM, "host": HOST, "home": home, "port": port, "root": bureau.root, "pool": pool,
              "crls": crls, "controller": controller}  # fmt: skip
    (home / "kdc.conf").write_text(_SERVER.format(**values))
    (home / "krb5.conf").write_text(_CLIENT.format(**values))
    found = Realm(home, lost)
    found.administer("kdb5_util", "create", "-s", "-P", "of this test")
    found.administer("kadmin.local", "-q", "addprinc -randkey +requires_preauth alice")
    (home / "kdc.log").touch()
    with (home / "out").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(program), "-n", "-r", REALM], env=found.environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _SECONDS
        while "commencing operation" not in (told := (home / "kdc.log").read_text(errors="replace")):
            assert process.poll() is None, told + (home / "out").read_text()
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def realm(bureau: Bureau, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A running realm whose KDC has a certificate of the profile ``domain-controller``."""
    controller = bureau.issue("domain-controller", None, ("dns", HOST))
    with running_realm(bureau, controller, tmp_path_factory.mktemp("kerberos")) as found:
        yield found
