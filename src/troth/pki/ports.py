"""What the mint needs from outside itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol
from uuid import UUID

from troth.pki.crl_der import CrlFrame
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose


class CertificateSigner(Protocol):
    """Signs TBSCertificates: the signer process, or a key in memory in tests."""

    async def certify(self, key_id: str, tbs: bytes, reservation_id: UUID) -> bytes:
        """The signature over ``tbs`` as it goes into the BIT STRING. At most one per reservation."""
        ...


class JwtSigner(Protocol):
    """Signs JWT-SVIDs with keys of its own making."""

    async def sign_jwt(self, key_id: str, claims: bytes) -> bytes:
        """The signature over ``claims`` under a header that names the key: ECDSA-Sig-Value, DER."""
        ...

    async def list_keys(self, purpose: KeyPurpose | None = None) -> list[KeyMetadata]:
        """Its keys, oldest first."""
        ...


class CrlSigner(Protocol):
    """Signs TBSCertLists."""

    async def sign_crl_stream(
        self, key_id: str, frame: CrlFrame, runs: Iterable[bytes], commit: Callable[[], Awaitable[None]]
    ) -> bytes:
        """The signature over ``frame`` around the entries in ``runs``, not made before ``commit`` has returned."""
        ...


class ResponderKeys(Protocol):
    """Makes keys for delegated OCSP responders; they never leave the signer but, sealed, for a status worker."""

    async def generate_key(self, purpose: KeyPurpose, algorithm: KeyAlgorithm) -> KeyMetadata:
        """A fresh key, durable in the signer."""
        ...


class Interlock(Protocol):
    """Says whether signing is safe now."""

    async def ensure(self) -> None:
        """Return if it is. Raises ClockRefused otherwise."""
        ...
