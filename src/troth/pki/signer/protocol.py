"""The signer's messages, and the frames they travel in.

A frame is a 4-octet big-endian length and that many octets of msgpack. Requests carry ``n``, chosen by the client;
the answer carries the same ``n`` and answers may overtake each other. Unknown tags and unknown fields are refused.
The first three frames of a connection are the handshake (``handshake``).
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from troth.pki.issuer_classes import EVERY, IssuerClasses
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import SOFTWARE, KeyMetadata, KeyPurpose
from troth.pki.signer.approvers_protocol import (
    Approvers,
    AskApproval,
    AskedApproval,
    AskRegistration,
    Challenge,
    ListApprovers,
    PinApprover,
    Proof,
    RegisterApprover,
    RemoveApprover,
    SetApprovals,
)
from troth.pki.signer.custody_protocol import AdoptKey, Custody, CustodyReport, TakeKey, Unseal

VERSION = 1
#: A server's answers: the largest is a list of keys with their authorities' certificates.
MAX_ANSWER = 4 * 1024 * 1024
#: Before the role is proved, nobody gets more memory than this.
MAX_HANDSHAKE = 1024
MAX_LEAVES = 20_000
_HEADER = 4


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    pass


class Hello(_Message, frozen=True, tag="hello"):
    """Server's first word: a fresh nonce of 32 octets."""

    version: int
    nonce: bytes


class Prove(_Message, frozen=True, tag="prove"):
    """Client's proof that it holds ``role``'s secret."""

    role: str
    nonce: bytes
    mac: bytes


class Welcome(_Message, frozen=True, tag="welcome"):
    """Server's proof that it holds the same secret: nobody else has put a socket in its place."""

    mac: bytes


class _Request(_Message, frozen=True):
    n: int


class Certify(_Request, frozen=True, tag="certify"):
    """Sign a TBSCertificate (DER) with an issuing key, for one reservation (a UUIDv7, signed at most once)."""

    key_id: str
    tbs: bytes
    reservation_id: UUID


class SignCrl(_Request, frozen=True, tag="sign_crl"):
    """Sign a TBSCertList (DER) with an issuing key."""

    key_id: str
    tbs: bytes


class BeginCrl(_Request, frozen=True, tag="sign_crl.begin"):
    """Sign a TBSCertList that comes in pieces: what stands before and after ``size`` octets of entries.

    Answered with Accepted; the entries follow under the same ``n``, then EndCrl has all of it signed.
    """

    key_id: str
    head: bytes
    size: int
    tail: bytes


class CrlEntries(_Request, frozen=True, tag="sign_crl.entries"):
    """The next entries of the CRL that was begun with this ``n``. Not answered."""

    data: bytes


class EndCrl(_Request, frozen=True, tag="sign_crl.end"):
    """Sign the CRL that was begun with the number ``begun``."""

    begun: int


class SignJwt(_Request, frozen=True, tag="sign_jwt"):
    """Sign the claims of a JWT-SVID (``jwt_svid``: JSON in its one form) with a key of that purpose."""

    key_id: str
    claims: bytes


class GenerateKey(_Request, frozen=True, tag="generate_key"):
    """Make a key."""

    purpose: KeyPurpose
    algorithm: KeyAlgorithm = KeyAlgorithm.P256
    proofs: tuple[Proof, ...] = ()
    custodian: str = SOFTWARE


class ListKeys(_Request, frozen=True, tag="list_keys"):
    """All keys, oldest first; with ``purpose`` those of it."""

    purpose: KeyPurpose | None = None


class PublicKey(_Request, frozen=True, tag="public_key"):
    """One key's metadata."""

    key_id: str


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of an issuing key that its CA certificate does not say.

    Attributes:
        max_validity_seconds: of certificates; 398 days unless the authority is for something longer.
        max_backdate_seconds: how far in the past a certificate may start, for clients whose clock is late.
        max_crl_validity_seconds: from thisUpdate to nextUpdate.
        extended_key_usages: dotted OIDs: serverAuth, clientAuth and OCSPSigning.
        allow_ca: sign CA certificates (an authority with pathLenConstraint 0 never does).
        issuer_classes: for whom it issues (``class_rules``); the usages must be within theirs.
        crl_url: see ``IssuingLimits``.
    """

    max_validity_seconds: int = 398 * 86_400
    max_backdate_seconds: int = 86_400
    max_crl_validity_seconds: int = 31 * 86_400
    extended_key_usages: tuple[str, ...] = ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.9")
    allow_ca: bool = False
    issuer_classes: IssuerClasses = EVERY
    crl_url: str | None = None


class AttachAuthority(_Request, frozen=True, tag="attach_authority"):
    """Bind an issuing key to its authority's certificate (DER), and with it its limits. Once."""

    key_id: str
    certificate: bytes
    bounds: Bounds = Bounds()
    proofs: tuple[Proof, ...] = ()


class ReleaseKey(_Request, frozen=True, tag="release_key"):
    """Hand an OCSP key out, sealed to ``recipient``, a fresh X25519 public key."""

    key_id: str
    recipient: bytes


class Health(_Request, frozen=True, tag="health"):
    """Sign ``nonce`` (16 to 64 octets), under a prefix that no certificate, CRL or note begins with."""

    nonce: bytes
    key_id: str | None = None


class NotaryStateRequest(_Request, frozen=True, tag="notary_state"):
    """Where the notary stands."""


class Checkpoint(_Request, frozen=True, tag="checkpoint"):
    """Extend the ledger from ``old_size`` by ``leaves`` (leaf hashes, at most 20,000) and sign its new root.

    ``at`` is the time of the newest event among them, or of asking when there are none.
    """

    old_size: int
    leaves: list[bytes]
    at: datetime


class Signature(_Message, frozen=True, tag="signature"):
    """A signature as it goes into the BIT STRING."""

    n: int
    signature: bytes


class Accepted(_Message, frozen=True, tag="accepted"):
    """Go on."""

    n: int


class Key(_Message, frozen=True, tag="key"):
    """About one key."""

    n: int
    key: KeyMetadata


class Keys(_Message, frozen=True, tag="keys"):
    """About several keys."""

    n: int
    keys: list[KeyMetadata]


class SealedKey(_Message, frozen=True, tag="sealed_key"):
    """PKCS#8 sealed to the recipient (see ``sealing``)."""

    n: int
    ephemeral: bytes
    ciphertext: bytes


class HealthReport(_Message, frozen=True, tag="health_report"):
    """The signer is alive; ``signature`` is there when a key was named."""

    n: int
    started_at: datetime
    now: datetime
    keys: int
    signature: bytes | None = None


class NotaryState(_Message, frozen=True, tag="notary"):
    """Where the notary stands, and the verifier key (text form of ``audit.note.NoteKey``) to pin."""

    n: int
    size: int
    root: bytes
    note: str | None
    verifier_key: str


class SignedCheckpoint(_Message, frozen=True, tag="signed_checkpoint"):
    """``extended``: the note over the new size. Otherwise ``size`` is the notary's own: ask again from there."""

    n: int
    extended: bool
    size: int
    root: bytes
    note: str | None


class Done(_Message, frozen=True, tag="done"):
    """It is done, and durable."""

    n: int


class Failure(_Message, frozen=True, tag="failure"):
    """Nothing was signed. ``code`` is a registered reason's."""

    n: int
    code: str
    detail: str


Request: TypeAlias = (
    Certify
    | SignCrl
    | BeginCrl
    | CrlEntries
    | EndCrl
    | SignJwt
    | GenerateKey
    | ListKeys
    | PublicKey
    | AttachAuthority
    | ReleaseKey
    | Health
    | NotaryStateRequest
    | Checkpoint
    | ListApprovers
    | AskRegistration
    | PinApprover
    | AskApproval
    | RegisterApprover
    | RemoveApprover
    | SetApprovals
    | Custody
    | Unseal
    | TakeKey
    | AdoptKey
)
Answer: TypeAlias = (
    Signature
    | Accepted
    | Key
    | Keys
    | SealedKey
    | HealthReport
    | NotaryState
    | SignedCheckpoint
    | Failure
    | Done
    | Approvers
    | Challenge
    | AskedApproval
    | CustodyReport
)

decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_greeting = msgspec.msgpack.Decoder(Hello | Welcome | Failure).decode
decode_prove = msgspec.msgpack.Decoder(Prove).decode
_encode = msgspec.msgpack.Encoder().encode


class FrameTooLarge(ValueError):
    """A peer announced a frame above the limit; nothing of it was kept."""


def health_message(nonce: bytes) -> bytes:
    """What is signed for a health nonce: no TBSCertificate, TBSCertList or note text begins with these octets."""
    return b"troth signer health\x00" + nonce


def frame(message: msgspec.Struct) -> bytes:
    """``message`` in its frame."""
    body = _encode(message)
    return len(body).to_bytes(_HEADER, "big") + body


class Frames:
    """Cuts a stream of octets into frames, and refuses by the announced length, before anything is buffered.

    ``limit`` may be raised once the peer has proved who it is.
    """

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises FrameTooLarge."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        at, end = 0, len(buffer)
        while end - at >= _HEADER:
            size = int.from_bytes(buffer[at : at + _HEADER], "big")
            if size > self.limit:
                raise FrameTooLarge(f"a frame of {size} octets, at most {self.limit} are taken")
            if end - at - _HEADER < size:
                break
            found.append(bytes(buffer[at + _HEADER : at + _HEADER + size]))
            at += _HEADER + size
        if at:
            del buffer[:at]
        return found
