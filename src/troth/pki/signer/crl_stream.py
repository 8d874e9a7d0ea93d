"""A CRL that comes in pieces: the header is checked first, the entries are hashed as they pass, and none is kept.

A list of a million entries has 49 MB; the signer needs of it what a signature is made over. Keys that cannot sign a
digest (Ed25519, and tokens that offer no such mechanism) get the message in one piece; that is bounded.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from troth.pki import algorithms, der
from troth.pki.crl_der import CrlFrame
from troth.pki.keys.model import SigningKey
from troth.pki.prehash import Digest, new_digest
from troth.pki.signer.crl_rules import CrlHeader
from troth.pki.signer.errors import LIMIT_CRL, MALFORMED, SignerRefused

#: Entries of a CRL under a key that signs whole messages only: 64 MiB are 1.3 million.
MAX_WHOLE = 64 * 1024 * 1024
#: Entries under any other: beyond, an authority has shards.
MAX_STREAMED = 1 << 30


@runtime_checkable
class DigestSigningKey(Protocol):
    """A key that signs what was hashed before (``troth.pki.prehash``): ECDSA, RSA, ML-DSA."""

    def sign_digest(self, digest: bytes, /) -> bytes:
        """The signature over the message that has this digest."""
        ...


class CrlStream:
    """One CRL on its way through. ``feed`` it all entries, then ``sign`` once."""

    def __init__(
        self, key_id: str, header: CrlHeader, frame: CrlFrame, key: SigningKey, public: algorithms.PublicKey
    ) -> None:
        self.key_id = key_id
        self.header = header
        self._left = frame.size
        self._first = True
        self._tail = frame.tail
        self._whole: bytearray | None = None
        digest = new_digest(public) if isinstance(key, DigestSigningKey) else None
        self._digest = digest
        if frame.size > (MAX_WHOLE if digest is None else MAX_STREAMED):
            raise SignerRefused(LIMIT_CRL, "more entries than this key signs in one CRL; use shards")
        sink: Digest
        if digest is None:
            self._whole = bytearray(frame.head)
        else:
            sink = digest
            sink.update(frame.head)

    def feed(self, data: bytes) -> None:
        """The next entries. Raises SignerRefused when they are not what was announced."""
        if self._first and data:
            self._first = False
            if data[0] != der.SEQUENCE:
                raise SignerRefused(MALFORMED, "revokedCertificates is no list of entries")
        self._left -= len(data)
        if self._left < 0:
            raise SignerRefused(MALFORMED, "more entries than announced")
        if self._digest is not None:
            self._digest.update(data)
        elif self._whole is not None:
            self._whole += data

    def sign(self, key: SigningKey) -> bytes:
        """The signature over all of it. Raises SignerRefused unless everything announced has come."""
        if self._left != 0:
            raise SignerRefused(MALFORMED, f"{self._left} octets of entries are missing")
        self._left = -1  # once
        if self._digest is not None and isinstance(key, DigestSigningKey):
            self._digest.update(self._tail)
            return key.sign_digest(self._digest.digest())
        if self._whole is None:
            raise SignerRefused(MALFORMED, "the key has changed its kind")
        return key.sign(bytes(self._whole + self._tail))
