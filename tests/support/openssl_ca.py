"""A CA as people have them: made and run with ``openssl ca``, its key in a file, its numbers small."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_CONFIG = """
[ca]
default_ca = here
[here]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir/newcerts
serial = $dir/serial
crlnumber = $dir/crlnumber
certificate = $dir/issuing.pem
private_key = $dir/issuing.key
default_md = sha256
default_days = 300
default_crl_days = 20
policy = anything
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[anything]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
CRL_NUMBER = 0x1000


@dataclass(frozen=True)
class OpensslCa:
    """What lies in ``directory``: root.pem, issuing.pem, issuing.key (P-256, in the clear), newcerts, crl.pem."""

    directory: Path

    @classmethod
    def make(cls, directory: Path, *, root_days: int = 3650) -> OpensslCa:
        """Root, issuing authority, four certificates: good, revoked, on hold, and a revoked one whose file is lost."""
        made = cls(directory)
        (directory / "newcerts").mkdir(parents=True)
        (directory / "ca.cnf").write_text(_CONFIG.format(directory=directory))
        (directory / "index.txt").touch()
        (directory / "serial").write_text("01\n")
        (directory / "crlnumber").write_text(f"{CRL_NUMBER:04X}\n")
        for name, subject in (("root", "Old Root"), ("issuing", "Old Issuing")):
            made._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
            made._run("req", "-new", "-config", "ca.cnf", "-key", f"{name}.key", "-subj", f"/CN={subject}",
                      "-out", f"{name}.csr")  # fmt: skip
        made._run("x509", "-req", "-in", "root.csr", "-key", "root.key", "-days", str(root_days), "-out", "root.pem",
                  "-extfile", "ca.cnf", "-extensions", "root")  # fmt: skip
        made._run("x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "1800",
                  "-CAcreateserial", "-out", "issuing.pem", "-extfile", "ca.cnf", "-extensions", "issuing")  # fmt: skip
        for name in ("good", "revoked", "held", "lost"):
            made.issue(name)
        made._revoke("02", "keyCompromise")
        made._revoke("03", "certificateHold")
        made._revoke("04", "superseded")
        (directory / "newcerts" / "04.pem").unlink()
        made._run("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
        return made

    def issue(self, name: str) -> None:
        """One more server certificate for ``<name>.old.example``."""
        self._run("req", "-new", "-config", "ca.cnf", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-subj",
                  f"/CN={name}.old.example", "-addext", f"subjectAltName=DNS:{name}.old.example",
                  "-out", "leaf.csr")  # fmt: skip
        self._run("ca", "-config", "ca.cnf", "-batch", "-in", "leaf.csr", "-notext")

    def sign_with_sha1(self) -> None:
        """sha1.pem: the issuing authority once more, signed with a broken hash."""
        self._run("x509", "-req", "-sha1", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "9",
                  "-CAcreateserial", "-out", "sha1.pem", "-extfile", "ca.cnf", "-extensions", "issuing")  # fmt: skip

    def der(self, name: str) -> bytes:
        """A certificate of this CA, by its file's name without ending."""
        parsed = x509.load_pem_x509_certificate((self.directory / f"{name}.pem").read_bytes())
        return parsed.public_bytes(Encoding.DER)

    def crl(self) -> bytes:
        """The CRL, DER."""
        return x509.load_pem_x509_crl((self.directory / "crl.pem").read_bytes()).public_bytes(Encoding.DER)

    def verify(self, leaf: Path, *more: str) -> tuple[bool, str]:
        """What ``openssl verify`` thinks of a certificate under the old root."""
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", *more, str(leaf)],
            cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode == 0, done.stdout + done.stderr

    def _revoke(self, serial: str, reason: str) -> None:
        self._run("ca", "-config", "ca.cnf", "-revoke", f"newcerts/{serial}.pem", "-crl_reason", reason)

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, check=True)
