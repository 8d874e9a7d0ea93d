"""What a key is, what it may do, and what its custodian promises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from troth.pki.issuer_classes import EVERY, IssuerClasses
from troth.pki.keys.algorithm import KeyAlgorithm

#: The custodian of keys that this process holds itself.
SOFTWARE = "software"


class KeyPurpose(StrEnum):
    """The one thing a key was made for; it never changes.

    ``issuing`` signs certificates and CRLs of one authority. ``ocsp`` is a delegated responder's: it is certified by
    an issuing key and released, sealed, to status workers; ``radius`` is a RADIUS server's, released to RADIUS workers
    in the same way. ``ra`` is a registration authority's (SCEP, EST) and never leaves. ``notary`` signs the ledger's
    checkpoints. ``jwt`` signs JWT-SVIDs of workloads, never leaves and is never certified.
    """

    ISSUING = "issuing"
    OCSP = "ocsp"
    NOTARY = "notary"
    RA = "ra"
    RADIUS = "radius"
    JWT = "jwt"


#: Keys that TLS and OCSP libraries must have in their own process; all others stay where they were made.
RELEASED = frozenset({KeyPurpose.OCSP, KeyPurpose.RADIUS})


class IssuingLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an issuing key signs; nothing outside is signed, whoever asks.

    Attributes:
        subject: the authority's subject, DER: the only issuer name that may stand in what is signed.
        key_identifier: the authority's subject key identifier: the only authority key identifier.
        not_before: start of the authority's certificate.
        not_after: end of the authority's certificate; nothing outlives it.
        path_length: its pathLenConstraint; None when it has none.
        max_validity_seconds: of certificates.
        max_backdate_seconds: how far before the present a certificate may start.
        max_crl_validity_seconds: from thisUpdate to nextUpdate.
        extended_key_usages: dotted OIDs; a certificate has at least one and no other.
        allow_ca: whether CA certificates are signed at all.
        issuer_classes: for whom is issued; a key attached before there were classes serves all of them.
        name_constraints: value of that extension in the authority's certificate, DER.
        crl_url: where its CRL lies, shards beside it: no CRL is signed for a distribution point elsewhere. None (keys
            attached before this was known) checks the form alone.
    """

    subject: bytes
    key_identifier: bytes
    not_before: datetime
    not_after: datetime
    path_length: int | None
    max_validity_seconds: int
    max_backdate_seconds: int
    max_crl_validity_seconds: int
    extended_key_usages: tuple[str, ...]
    allow_ca: bool
    issuer_classes: IssuerClasses = EVERY
    name_constraints: bytes | None = None
    crl_url: str | None = None


class KeyMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All about a key that is not secret.

    Attributes:
        key_id: names the key for good, ``issuing-<uuid>``.
        public_key: SubjectPublicKeyInfo, DER.
        created: UTC.
        use_until: after that moment the key is not certified any more and is forgotten; None for keys that stay.
        limits: of an issuing key, once it is attached to its authority.
        certificate: the authority's certificate, DER, once attached.
        custodian: who holds the private key: ``software``, or ``<kind>:<name>`` as the settings name it.
        evidence: what the custodian said of the key when it was made, read back: (attribute, value).
    """

    key_id: str
    purpose: KeyPurpose
    algorithm: KeyAlgorithm
    public_key: bytes
    created: datetime
    use_until: datetime | None = None
    limits: IssuingLimits | None = None
    certificate: bytes | None = None
    custodian: str = SOFTWARE
    evidence: tuple[tuple[str, str], ...] = ()


class SigningKey(Protocol):
    """A private key that signs and is not shown. Software, PKCS#11 tokens and cloud key services all fit this."""

    @property
    def algorithm(self) -> KeyAlgorithm:
        """Its kind."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature over ``message``, hashed by the key's own algorithm. Raises KeyUnavailable."""
        ...


class Custodian(Protocol):
    """Who holds keys.

    All methods block, for a disk flush or for as long as a token or a key service takes (each has its time limit).
    """

    def generate(
        self, purpose: KeyPurpose, algorithm: KeyAlgorithm = KeyAlgorithm.P256, *, use_until: datetime | None = None
    ) -> KeyMetadata:
        """Make a key; it is durable when this returns."""
        ...

    def list_keys(self) -> Sequence[KeyMetadata]:
        """Every key, oldest first."""
        ...

    def metadata(self, key_id: str) -> KeyMetadata:
        """About one key. Raises KeyRefused when there is none, KeyUnavailable when it does not open."""
        ...

    def signing_key(self, key_id: str) -> SigningKey:
        """The key itself. Raises as :meth:`metadata`."""
        ...

    def attach(self, key_id: str, certificate: bytes, limits: IssuingLimits) -> KeyMetadata:
        """Bind an issuing key to its authority and its limits, once and durably. Raises KeyRefused."""
        ...

    def export(self, key_id: str) -> bytes:
        """PKCS#8 of a key of a :data:`RELEASED` purpose in the clear, to be sealed at once. Raises KeyRefused."""
        ...

    def forget(self, key_id: str) -> None:
        """Destroy an ``ocsp`` or ``jwt`` key. Raises KeyRefused for every other purpose."""
        ...
