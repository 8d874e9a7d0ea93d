"""Java's own keystore formats, JKS and JCEKS, read for their certificates (sun.security.provider.JavaKeyStore).

    magic FEEDFEED or CECECECE, version 1 or 2, count; then of each entry
    tag 1 (key): alias, time, length, encrypted key, number of certificates, certificates
    tag 2 (trusted certificate): alias, time, certificate
    tag 3 (secret key, JCEKS): alias, time, a serialized object of no stated length

A certificate has its type (version 2: a text), a length and its DER. A text has a length of two octets. Keys are
passed over unread; the digest at the end needs the password and is not checked: nothing here is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_MAX_ENTRIES, _MAX_CHAIN = 5000, 20


class BadKeystore(ValueError):
    """This is no keystore, or a broken one."""


@dataclass(frozen=True, slots=True)
class KeystoreEntry:
    """One certificate (DER) under its alias; ``key`` if it is the leaf of a private key's chain."""

    alias: str
    certificate: bytes
    key: bool


def read(data: bytes) -> Iterator[KeystoreEntry]:
    """The certificates of a keystore. Raises BadKeystore, after those that stand before what is broken."""
    if data[:4] not in MAGIC:
        raise BadKeystore("no JKS or JCEKS")
    at = _Reader(data, 4)
    version, count = at.number(), at.number()
    if version not in (1, 2) or count > _MAX_ENTRIES:
        raise BadKeystore(f"version {version} with {count} entries")
    for _ in range(count):
        tag, alias = at.number(), at.text()
        at.skip(8)
        if tag == 1:
            at.skip(at.number())
            chain = at.number()
            if chain > _MAX_CHAIN:
                raise BadKeystore(f"a chain of {chain}")
            for index in range(chain):
                yield KeystoreEntry(alias, at.certificate(version), index == 0)
        elif tag == 2:
            yield KeystoreEntry(alias, at.certificate(version), False)
        else:
            raise BadKeystore(f"an entry of kind {tag}, whose end cannot be known")


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def skip(self, length: int) -> bytes:
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise BadKeystore("cut short")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self) -> int:
        found: int = struct.unpack(">I", self.skip(4))[0]
        return found

    def text(self) -> str:
        # Java's modified UTF-8; what is not UTF-8 in it is an alias that nobody compares.
        return self.skip(int.from_bytes(self.skip(2), "big")).decode("utf-8", "replace")[:200]

    def certificate(self, version: int) -> bytes:
        if version == 2 and self.text() not in ("X.509", "X509"):
            raise BadKeystore("a certificate that is no X.509")
        return self.skip(self.number())
