"""The digests of a CRL that is nowhere in one piece: what is reserved, what is signed, what names it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from troth.pki import algorithms
from troth.pki.crl_der import CrlFrame
from troth.pki.prehash import digest_verifies, new_digest

#: Below this hashing takes less time than handing it to a thread.
_INLINE = 1 << 20


@dataclass(frozen=True, slots=True)
class CrlDigests:
    """Digests of one TBSCertList.

    Attributes:
        tbs_sha256: what is reserved.
        signed_over: what the authority's kind of key signs; None for keys that sign whole messages.
        identity: SHA-256 of ``tbs_sha256`` and the signature, once there is one.
    """

    tbs_sha256: bytes
    signed_over: bytes | None
    identity: bytes = b""

    def verifies(self, key: algorithms.PublicKey, signature: bytes, frame: CrlFrame, runs: Sequence[bytes]) -> bool:
        """Whether ``signature`` is ``key``'s over the bytes that were hashed."""
        if self.signed_over is None:
            return algorithms.verifies(key, signature, b"".join((frame.head, *runs, frame.tail)))
        return digest_verifies(key, signature, self.signed_over)

    def signed(self, signature: bytes) -> CrlDigests:
        """With ``identity``."""
        return replace(self, identity=hashlib.sha256(self.tbs_sha256 + signature).digest())


async def digests_of(key: algorithms.PublicKey, frame: CrlFrame, runs: Sequence[bytes]) -> CrlDigests:
    """Hash it: a large one in a thread, beside the loop."""
    if frame.size < _INLINE:
        return _digests_of(key, frame, runs)
    return await asyncio.get_running_loop().run_in_executor(None, _digests_of, key, frame, runs)


def _digests_of(key: algorithms.PublicKey, frame: CrlFrame, runs: Sequence[bytes]) -> CrlDigests:
    sha256 = hashlib.sha256()
    named = algorithms.builder_digest(key)
    # Most keys sign the very digest that is reserved: it is taken once.
    other = None if named is not None and named.name == "sha256" else new_digest(key)
    for piece in (frame.head, *runs, frame.tail):
        sha256.update(piece)
        if other is not None:
            other.update(piece)
    reserved = sha256.digest()
    if other is not None:
        return CrlDigests(reserved, other.digest())
    return CrlDigests(reserved, reserved if named is not None else None)
