"""What the tests with real ACME programs share: a place to work in, a way to run them, and openssl as the judge."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.running import RunningTroth
from tests.support.systemd import systemd

__all__ = ["systemd"]

#: Ends what hangs: from an answered revocation until openssl is told of it, which itself takes a while to start.
_STATUS_SECONDS = 120.0

#: Longest time for a server to get its first certificate, the tries of a challenge that must fail included.
_SERVED_SECONDS = 300.0


@dataclass
class Client:
    """One test's real programs against the running Troth.

    Attributes:
        home: an empty directory, which is also the programs' home.
    """

    troth: RunningTroth
    home: Path
    program: Callable[[str], Path]

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without proxies and with a home of the test's own."""
        clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return {**clean, "HOME": str(self.home)}

    def run(
        self,
        name: str,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        fails: bool | None = False,
    ) -> str:
        """Run a program; what it said on both outputs. Raises AssertionError if it did not end as expected.

        With ``fails`` None it may end as it likes.
        """
        done = subprocess.run(
            [str(self.program(name)), *map(str, arguments)],
            cwd=self.home,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        if fails is not None and (done.returncode != 0) != fails:
            told = f"{done.stdout[-4000:]}\n{self.troth.log()[-3000:]}"
            raise AssertionError(f"{name} ended with {done.returncode}:\n{told}")
        return done.stdout

    @contextmanager
    def serving(self, name: str, *arguments: str | Path) -> Iterator[Path]:
        """A server with its own ACME client, for the length of the block; yields what it says on both outputs."""
        said = self.home / f"{name}.log"
        with said.open("ab") as log:
            process = subprocess.Popen(
                [str(self.program(name)), *map(str, arguments)], cwd=self.home, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment,
            )  # fmt: skip
        try:
            yield said
        finally:
            process.terminate()
            process.wait(20)

    def served(self, address: str, port: int, name: str, log: Path, *, other_than: int = 0) -> x509.Certificate:
        """The certificate for ``name`` that a server shows, judged, once it has one with another serial number."""
        deadline = time.monotonic() + _SERVED_SECONDS
        while True:
            said = self.run(
                "openssl", "s_client", "-connect", f"{address}:{port}", "-servername", name, "-CAfile",
                self.troth.root, "-showcerts", fails=None,
            )  # fmt: skip
            shown = re.findall(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n", said)
            if shown and "Verify return code: 0 (ok)" in said:
                (self.home / "served.pem").write_text("".join(shown))
                if x509.load_pem_x509_certificate(shown[0].encode()).serial_number != other_than:
                    return self.judge(self.home / "served.pem", name)
            assert time.monotonic() < deadline, f"{said[-1000:]}\n{log.read_text()[-6000:]}\n{self.troth.log()[-3000:]}"
            time.sleep(0.1)

    def judge(self, chain: Path, *names: str) -> x509.Certificate:
        """The leaf of the PEM file ``chain``, after openssl has verified it to the root and OCSP called it good."""
        found = x509.load_pem_x509_certificates(chain.read_bytes())
        assert len(found) == 2, "leaf and issuing authority, without the root"
        leaf, issuer = found
        (self.home / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        (self.home / "issuer.pem").write_bytes(issuer.public_bytes(Encoding.PEM))
        said = self.run(
            "openssl", "verify", "-x509_strict", "-purpose", "sslserver",
            "-verify_hostname", names[0].replace("*", "any"),
            "-CAfile", self.troth.root, "-untrusted", "issuer.pem", "leaf.pem",
        )  # fmt: skip
        assert "leaf.pem: OK" in said
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(held.get_values_for_type(x509.DNSName)) == sorted(names)
        assert self.status(leaf, issuer) == "good"
        return leaf

    def status(self, leaf: x509.Certificate, issuer: x509.Certificate) -> str:
        """What openssl hears from the responder that the certificate itself names: ``good`` or ``revoked: …``."""
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        [url] = [
            one.access_location.value
            for one in access
            if one.access_method == x509.AuthorityInformationAccessOID.OCSP
        ]  # fmt: skip
        pem = Encoding.PEM
        (self.home / "status-leaf.pem").write_bytes(leaf.public_bytes(pem))
        (self.home / "status-issuer.pem").write_bytes(issuer.public_bytes(pem))
        (self.home / "status-trusted.pem").write_bytes(issuer.public_bytes(pem) + self.troth.root.read_bytes())
        said = self.run(
            "openssl", "ocsp", "-issuer", "status-issuer.pem", "-cert", "status-leaf.pem", "-url", url,
            "-CAfile", "status-trusted.pem",
        )  # fmt: skip
        assert "Response verify OK" in said, said
        status = re.search(r"status-leaf\.pem: (\w+)", said)
        reason = re.search(r"Reason: (\w+)", said)
        assert status is not None, said
        return f"{status[1]}: {reason[1]}" if reason else status[1]

    def issuer(self, chain: Path) -> x509.Certificate:
        """The last certificate of the PEM file ``chain``."""
        return x509.load_pem_x509_certificates(chain.read_bytes())[-1]

    def revoked(self, leaf: x509.Certificate, chain: Path) -> str:
        """The reason under which ``leaf`` is revoked; waits until it is told."""
        issuer = self.issuer(chain)
        deadline = time.monotonic() + _STATUS_SECONDS
        while (said := self.status(leaf, issuer)) == "good" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert said.startswith("revoked"), said
        return said.partition(": ")[2]


@pytest.fixture
def client(troth: RunningTroth, tmp_path: Path, program: Callable[[str], Path]) -> Iterator[Client]:
    """Real programs with an empty home, against the session's Troth, which must not have stumbled over them."""
    before = len(troth.log())
    yield Client(troth, tmp_path, program)
    assert "Traceback" not in troth.log()[before:]
