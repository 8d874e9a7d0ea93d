"""Where a new root's key goes: encrypted into one file, its passphrase into another, and both off the machine."""

from __future__ import annotations

import base64
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from troth.pki.algorithms import PrivateKey
from troth.pki.keys.files import private_directory, sync_directory, write_private

_FINAL, _PARTIAL = "offline-root", "offline-root.partial"
_README = """\
The root key of {subject}
SHA-256 of its certificate: {fingerprint}

This key can make certificate authorities that everyone who trusts your root will trust. Nothing on this machine
needs it: Troth issues with another key. It was born on a machine that is online, so treat it as a trial's.

1. Copy root-key.pem to an offline medium, and root-key.passphrase to ANOTHER one, kept by another person in another
   place. Whoever has both has your PKI; whoever has lost either has lost the root.
2. Read both copies back:  openssl pkey -in root-key.pem -passin file:root-key.passphrase -noout
3. Then remove root-key.pem and root-key.passphrase from this machine.

You will need them to sign a new CRL of the root within a year, and a new issuing authority within five. Both are done
by `troth ceremony run`, on a machine without a network; docs/ceremonies.md has the plan for this very directory.
"""


@dataclass(frozen=True, slots=True)
class Custody:
    """Where the two halves will lie once settled."""

    sealed_key: Path
    passphrase: Path


def seal_root(data: Path, key: PrivateKey, certificate: x509.Certificate) -> Custody:
    """Write the sealed key, its passphrase and the instructions under a provisional name, durably."""
    partial = data / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # of a birth that was never recorded: nothing was ever signed for it
    private_directory(partial)
    text = base64.b32encode(secrets.token_bytes(30)).decode().lower()
    passphrase = "-".join(text[at : at + 6] for at in range(0, len(text), 6))
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    readme = _README.format(
        subject=certificate.subject.rfc4514_string(), fingerprint=certificate.fingerprint(SHA256()).hex(":")
    )
    write_private(partial / "root-key.pem", sealed)
    write_private(partial / "root-key.passphrase", passphrase.encode() + b"\n")
    write_private(partial / "root.pem", certificate.public_bytes(Encoding.PEM))
    write_private(partial / "README.txt", readme.encode())
    return Custody(data / _FINAL / "root-key.pem", data / _FINAL / "root-key.passphrase")


def settle(data: Path) -> None:
    """Give the provisional directory its name, if that has not happened yet."""
    partial = data / _PARTIAL
    if partial.exists():
        partial.rename(data / _FINAL)
        sync_directory(data)
