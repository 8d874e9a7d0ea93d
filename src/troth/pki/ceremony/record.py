"""What an online Troth takes in from a ceremony, judged before anything is written.

Nothing is believed that the bytes do not prove: the transcript's seal, the digests of the results in it, the issuer's
signature on what was made, and, for an issuing authority, that this installation's signer holds the key and has been
bound to this very certificate. So possession is proved by the signer itself, at the moment when it counts: an issuing
key never signs a PKCS#10 request, whose structure is no certificate and which nobody here would need to parse. What is
taken to the ceremony is the bare public key; its digest is read aloud at both ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from troth.audit.event import Event
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.ceremony.errors import DRY_RUN, NOT_IMPORTED, TRANSCRIPT, TranscriptRefused
from troth.pki.ceremony.plan import Ceremony
from troth.pki.ceremony.results import RESULT_FILE, Result
from troth.pki.ceremony.transcript import Proved, prove
from troth.pki.reading import value_of

#: What a ceremony makes → the file with it; the others are recorded alone.
MADE: Mapping[str, str] = {
    Ceremony.ROOT: "certificate.der",
    Ceremony.INTERMEDIATE: "certificate.der",
    Ceremony.CROSS_CERTIFICATE: "certificate.der",
    Ceremony.ROOT_CRL: "crl.der",
}


@dataclass(frozen=True, slots=True)
class Brought:
    """A ceremony as it was brought, proved by itself.

    Attributes:
        made: DER of the certificate or CRL; empty for a key ceremony.
        transcript_sha256: of the file.
    """

    proved: Proved
    result: Result
    made: bytes
    transcript_sha256: bytes

    @property
    def kind(self) -> Ceremony:
        """What was held."""
        return Ceremony(self.proved.ceremony)


def read_brought(transcript: bytes, result: bytes, made: bytes, session_key: str = "") -> Brought:
    """Hold the three against each other. Raises TranscriptRefused."""
    proved = prove(transcript)
    if proved.dry_run:
        raise TranscriptRefused(DRY_RUN)
    if session_key and session_key != proved.session_key:
        raise TranscriptRefused(TRANSCRIPT, f"it was sealed by the session key {proved.session_key}")
    try:
        told, kind = Result.parse(result), Ceremony(proved.ceremony)
    except ValueError as error:
        raise TranscriptRefused(TRANSCRIPT, f"{RESULT_FILE} cannot be read") from error
    files = {RESULT_FILE: result} | ({MADE[kind]: made} if kind in MADE else {})
    for name, content in files.items():
        if proved.outputs.get(name) != hashlib.sha256(content).hexdigest():
            raise TranscriptRefused(TRANSCRIPT, f"{name} is not what the ceremony wrote")
    return Brought(proved, told, made, hashlib.sha256(transcript).digest())


def issuer_of(brought: Brought, authorities: Iterable[Authority]) -> Authority:
    """The authority here that signed what was made. Raises TranscriptRefused when there is none."""
    for authority in authorities:
        if authority.sha256.hex() == brought.result.issuer_sha256:
            return authority
    raise TranscriptRefused(NOT_IMPORTED, "its issuer is no authority of this installation; import its root first")


def certificate_of(brought: Brought, issuer: Authority | None) -> x509.Certificate:
    """The certificate that was made, verified under its issuer (None: itself). Raises TranscriptRefused."""
    try:
        found = x509.load_der_x509_certificate(brought.made)
        above = found if issuer is None else issuer.x509
        key = above.public_key()
        if found.issuer != above.subject or not isinstance(key, algorithms.PublicKey):
            raise TranscriptRefused(NOT_IMPORTED, "it is not of its issuer")
        algorithms.verify(key, found.signature, found.tbs_certificate_bytes)
    except (ValueError, InvalidSignature) as error:
        raise TranscriptRefused(NOT_IMPORTED, "it is not of its issuer") from error
    constraints = value_of(found.extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise TranscriptRefused(NOT_IMPORTED, "it is no authority's certificate")
    return found


def recorded(brought: Brought, actor: str, authority: str | None) -> Event:
    """The ledger's event: the ceremony's own record, by its digests, and what came of it here."""
    proved = brought.proved
    return Event(
        "ceremony.recorded",
        actor,
        () if authority is None else (f"authority:{authority}",),
        {
            "ceremony": proved.ceremony,
            "title": proved.title,
            "authority": authority,
            "plan_sha256": proved.plan.hex(),
            "transcript_sha256": brought.transcript_sha256.hex(),
            "seal": proved.digest.hex(),
            "session_key": proved.session_key,
            "sealed_at": proved.sealed_at.isoformat(),
            "public_key_sha256": brought.result.public_key_sha256,
            "outputs": dict(proved.outputs),
        },
    )
