"""A domain controller of Active Directory (Samba), in a network of its own, that logs people on by certificate.

Its KDC trusts for log-on what a Windows domain keeps in its NTAuth store: the authority of the class ``people``, and
no other. The KDC's own certificate is of the profile ``domain-controller``.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Credential
from tests.support.programs import find_program, missing, need_file

REALM, DOMAIN, HOST = "TROTH.TEST", "troth.test", "dc1.troth.test"
_SECONDS = 120


@dataclass(frozen=True)
class ActiveDirectory:
    """The running domain controller.

    Attributes:
        sid: of the domain.
        process: whose network it is.
    """

    home: Path
    sid: str
    process: int

    def add_user(self, name: str) -> str:
        """A new account that can log on; its SID."""
        self._tool("user", "create", name, "--random-password")
        told = self._tool("user", "show", name, "--attributes=objectSid")
        return told.split("objectSid: ")[1].split()[0]

    def disable(self, name: str) -> None:
        """Disable an account."""
        self._tool("user", "disable", name)

    def log_on(self, credential: Credential, name: str) -> tuple[bool, str]:
        """Log on by certificate alone: whether a ticket came, and what kinit and the KDC said of it."""
        before = (self.home / "samba.out").stat().st_size
        cache = self.home / f"cache-{time.monotonic_ns()}"
        done = subprocess.run(
            ["nsenter", "--net", "--target", str(self.process), str(find_program("kinit")),
             "-X", f"X509_user_identity=FILE:{credential.certificate},{credential.key}", f"{name}@{REALM}"],
            env={"PATH": os.defpath, "KRB5_CONFIG": str(self.home / "client.conf"), "KRB5CCNAME": f"FILE:{cache}",
                 "KRB5_TRACE": "/dev/stderr"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        assert cache.exists() == (done.returncode == 0), done.stdout
        with (self.home / "samba.out").open("rb") as output:
            output.seek(before)
            return done.returncode == 0, done.stdout + output.read().decode(errors="replace")

    def _tool(self, *arguments: str) -> str:
        settings = (f"--configfile={self.home}/ad/etc/smb.conf", f"--URL={self.home}/ad/private/sam.ldb")
        return _run("samba-tool", *arguments, *settings)


def _run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(find_program(name)), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def _configure(home: Path, controller: Credential, bureau: Bureau) -> None:
    common = f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_realm = false\n dns_lookup_kdc = false\n"
    (home / "kdc.conf").write_text(
        f"{common}[kdc]\n enable-pkinit = yes\n"
        f" pkinit_identity = FILE:{controller.certificate},{controller.key}\n"
        f" pkinit_pool = FILE:{controller.authority}\n"
        f" pkinit_anchors = FILE:{bureau.authority('people')}\n"
    )
    pool = home / "pool.pem"
    pool.write_bytes(b"".join(bureau.authority(slug).read_bytes() for slug in ("issuing", "people")))
    (home / "client.conf").write_text(
        f"{common} rdns = false\n[realms]\n {REALM} = {{\n  kdc = 127.0.0.1\n"
        f"  pkinit_anchors = FILE:{bureau.root}\n  pkinit_pool = FILE:{pool}\n"
        f"  pkinit_kdc_hostname = {HOST}\n  pkinit_eku_checking = kpKDC\n }}\n"
    )
    settings = home / "ad/etc/smb.conf"
    settings.write_text(
        settings.read_text().replace(
            "[global]\n",
            f"[global]\n\tserver services = ldap, cldap, kdc\n\ttls enabled = no\n\tpid directory = {home}\n", 1,
        ).replace("/var/log/samba/log.%m", f"{home}/samba.log")
    )  # fmt: skip


@pytest.fixture(scope="session")
def active_directory(bureau: Bureau) -> Iterator[ActiveDirectory]:
    """Provisioned (some 5 s of processor time), started, and stopped in the end."""
    samba = find_program("samba")
    for name in ("samba-tool", "kinit", "ip", "nsenter", "setpriv"):
        find_program(name)
    need_file("/usr/lib/*/krb5/plugins/preauth/pkinit.so", "krb5-pkinit")
    need_file("/usr/lib/*/samba/ldb/samba_dsdb.so", "samba-dsdb-modules")
    need_file("/usr/share/samba/setup/provision.ldif", "samba-ad-provision")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        missing("Samba needs a network of its own, and only root may make one here")
    controller = bureau.issue("domain-controller", None, ("dns", HOST), ("dns", DOMAIN))
    # A short path: Samba listens on Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="troth-ad-") as directory:
        home = Path(directory)
        told = _run(
            "samba-tool", "domain", "provision", f"--realm={REALM}", "--domain=TROTH", "--server-role=dc",
            "--dns-backend=NONE", "--host-name=dc1", "--host-ip=127.0.0.1", "--adminpass=Not-used-2026!",
            f"--targetdir={home}/ad", "--option=interfaces=lo", "--option=bind interfaces only=yes",
        )  # fmt: skip
        sid = re.search(r"DOMAIN SID: +(S-[0-9-]+)", told)
        assert sid is not None, told[-2000:]
        _configure(home, controller, bureau)
        with (home / "samba.out").open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c",
                 'ip link set lo up && exec "$@"', "sh", str(samba), "--interactive", "--no-process-group",
                 "--model=single", "--debuglevel=3", f"--configfile={home}/ad/etc/smb.conf"],
                env={"PATH": f"{os.defpath}:/usr/sbin:/sbin", "KRB5_CONFIG": str(home / "kdc.conf")},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            _wait(process, home)
            yield ActiveDirectory(home, sid[1], process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], home: Path) -> None:
    """Until the KDC takes connections."""
    look = ["nsenter", "--net", "--target", str(process.pid), "bash", "-c", "</dev/tcp/127.0.0.1/88"]
    deadline = time.monotonic() + _SECONDS
    while subprocess.run(look, capture_output=True, check=False).returncode != 0:
        told = (home / "samba.out").read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"samba ended:\n{told}"
        assert time.monotonic() < deadline, f"samba does not listen:\n{told}"
        time.sleep(0.1)
