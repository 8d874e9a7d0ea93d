"""Who asks: a node, known by its own certificate and a signature with that certificate's key.

A request is a flattened JWS (RFC 7515, 7.2.2) as in ACME, but for the key: the protected header names a certificate
of Troth's own by ``x5t#S256`` (section 4.1.8), and only one that the database knows by its SHA-256 counts. So a stolen
issuing key admits nobody, and a hold or a revocation ends what the agent may ask in the same moment. ``url`` and
``nonce`` bind the signature to this door and to one use. TLS client authentication would say the same, but ends at
the first proxy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey, b64url_decode
from troth.enroll.acme.flattened import Flattened
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.workload.errors import (
    NODE_NOT_GOOD,
    NODE_PROFILE,
    NODE_SUBJECT,
    NODE_UNKNOWN,
    NONCE_REFUSED,
    REQUEST_MALFORMED,
    NodeRefused,
)
from troth.kit.clock import Clock
from troth.kit.lane import Request
from troth.pki.model import CertificateRecord
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.trust.model import Subject
from troth.trust.subjects.store import SubjectStore

MEDIA_TYPE = "application/jose+json"


class Nonces(Protocol):
    """Where nonces come from and end."""

    def issue(self) -> str:
        """A fresh one."""
        ...

    def consume(self, nonce: str) -> bool:
        """Whether it is ours and was not used before."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """A believed request.

    Attributes:
        subject: whom the agent's certificate speaks for.
        certificate: that certificate.
        payload: what was signed.
    """

    subject: Subject
    certificate: CertificateRecord
    payload: bytes

    @property
    def attested(self) -> bool:
        """Whether hardware vouched for the agent's own key."""
        return self.certificate.key_assurance == "attested"


class NodeDesk:
    """Believes requests or raises.

    Args:
        profiles: whose certificates are an agent's.
        nonces: shared with the ACME door of this process.
    """

    def __init__(self, database: Database, clock: Clock, nonces: Nonces, *, profiles: Sequence[str]) -> None:
        self._certificates = CertificateStore(database)
        self._subjects = SubjectStore(database)
        self._clock = clock
        self._nonces = nonces
        self._profiles = frozenset(profiles)

    def nonce(self) -> str:
        """A fresh nonce, for ``Replay-Nonce``."""
        return self._nonces.issue()

    async def open(self, request: Request, url: str, *, admit: Callable[[Subject], None] = lambda _: None) -> Node:
        """Authenticate one signed request to ``url``. Raises NodeRefused, or AcmeProblem for what is no such JWS.

        ``admit`` may refuse a node by its subject once the signature holds, before the nonce is spent.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
            raise NodeRefused(REQUEST_MALFORMED, f"the content type must be {MEDIA_TYPE}")
        parts = Flattened.parse(request.body)
        algorithm = parts.algorithm()
        signed_url, nonce = parts.string("url"), parts.string("nonce")
        record = await self._signer(parts, algorithm)
        # From here the sender holds the key: it may be told more.
        self._fit(record)
        if signed_url != url:
            raise NodeRefused(REQUEST_MALFORMED, f"the request was signed for another URL than {url}")
        subject = await self._subject(record)
        admit(subject)
        if not self._nonces.consume(nonce):
            raise NodeRefused(NONCE_REFUSED)
        return Node(subject, record, parts.payload)

    async def _signer(self, parts: Flattened, algorithm: str) -> CertificateRecord:
        """The certificate with whose key the request is signed.

        Raises NodeRefused, the same whatever is wrong: who knows a certificate's digest alone learns nothing of it.
        """
        try:
            digest = b64url_decode(parts.string("x5t#S256"))
        except JoseError as error:
            raise NodeRefused(REQUEST_MALFORMED, "x5t#S256 is no base64url") from error
        record = await self._certificates.by_sha256(digest) if len(digest) == hashlib.sha256().digest_size else None
        if record is None or record.der is None:
            raise NodeRefused(NODE_UNKNOWN)
        try:
            key = VerifyingKey.from_public_key(x509.load_der_x509_certificate(record.der).public_key())
            parts.verify(key, algorithm)
        except (JoseError, AcmeProblem):
            raise NodeRefused(NODE_UNKNOWN) from None
        return record

    def _fit(self, record: CertificateRecord) -> None:
        if record.profile not in self._profiles:
            raise NodeRefused(NODE_PROFILE, f"profile {record.profile}", profile=record.profile)
        if record.status != "good" or not record.not_before <= self._clock.now() < record.not_after:
            raise NodeRefused(NODE_NOT_GOOD, f"it is {record.status if record.status != 'good' else 'out of date'}")

    async def _subject(self, record: CertificateRecord) -> Subject:
        ids = [subject_id for subject_id, role in await self._certificates.subjects(record.id) if role == "subject"]
        known = await self._subjects.by_id(ids[0]) if len(ids) == 1 else None
        # Again by its name: one that was removed from the directory is not there any more.
        found = await self._subjects.find(known.kind, known.name) if known is not None else None
        if found is None or known is None or found.id != known.id:
            raise NodeRefused(NODE_SUBJECT, f"it speaks for {len(ids)} subjects, or for one that was removed")
        return found
