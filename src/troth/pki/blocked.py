"""Keys that are in other hands: blocked for ever, and everything that uses them revoked.

Whoever holds a private key can prove that it is no secret: by a PKCS#10 request signed with it, whose subject is the
one common name :data:`PROOF_NAME` and which asks for nothing. No ordinary request looks like that, so a request that
somebody made in order to enrol is no proof; and no certificate is ever issued for it, since the key is blocked.

What a block does, in one write unit: the key is listed, the first certificates of the key are revoked
(keyCompromise), and two jobs are enqueued. ``key.revoke`` revokes the rest, a hundred at a time, and looks once more
when every reservation that was under way has landed; ``key.holders`` is for the doors, which drop the accounts that
sign with the key. Blocking a key again changes nothing, but catches what had escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509.oid import NameOID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.pki import algorithms
from troth.pki.blocked_store import BLOCK, BlockedKey, BlockedStore, Uses
from troth.pki.errors import (
    KEY_BLOCK_MANY,
    KEY_PROOF_MALFORMED,
    KEY_PROOF_WRONG,
    KEY_UNREADABLE,
    KeyRefused,
)
from troth.pki.revocation import KEY_COMPROMISE, OfKey, revoke
from troth.store.jobs import Job, LeasedJob, enqueue, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

log = get_logger("pki")

PROOF_NAME = "Proof of Key Compromise"
MAX_PROOF = 16_384

REVOKE_JOB, HOLDERS_JOB = "key.revoke", "key.holders"
ACTOR = "system:blocked-key"
#: Certificates revoked in one unit.
BATCH = 100
#: More live certificates than this are only revoked on a person's word after the number was shown to him.
CONFIRM_ABOVE = 50
#: A reservation that was being committed while its key was blocked is there by then.
SETTLED_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A public key that somebody points at: DER in canonical encoding (None: only its hash is known), SHA-256 of it."""

    spki: bytes | None
    sha256: bytes


def read_proof(data: bytes) -> GivenKey:
    """The key that ``data`` (PKCS#10, DER or PEM, at most 16 KiB) proves to be in its sender's hands.

    Raises KeyRefused: not such a request, another subject, a signature that does not verify.
    """
    request = _request(data)
    key = _key_of(request)
    names = [(attribute.oid, attribute.value) for attribute in request.subject]
    if names != [(NameOID.COMMON_NAME, PROOF_NAME)] or _asks_for_something(request):
        raise KeyRefused(KEY_PROOF_WRONG, f"the request's subject is not CN={PROOF_NAME!r} alone, or it asks for more")
    try:
        genuine = request.is_signature_valid
    except Exception as error:
        # Unsupported digests and malformed parameters raise by version; none of them is a proof.
        raise KeyRefused(KEY_PROOF_WRONG, "the request's signature algorithm is not supported") from error
    if not genuine:
        raise KeyRefused(KEY_PROOF_WRONG, "the request's signature does not verify")
    return _given(key)


def read_key(data: bytes) -> GivenKey:
    """The public key in ``data``: a certificate, a request or a SubjectPublicKeyInfo, each DER or PEM, or its SHA-256
    in hexadecimal. Nothing is proved by that. Raises KeyRefused.
    """
    plain = data.strip()
    if len(plain) == 64:
        try:
            return GivenKey(None, bytes.fromhex(plain.decode("ascii")))
        except ValueError:
            pass  # 64 octets of something else
    if len(data) > MAX_PROOF * 4 or b"PRIVATE KEY" in data:
        raise KeyRefused(KEY_UNREADABLE, "longer than 64 KiB, or a private key: keep that where it is, send a proof")
    for load in (_of_certificate, _of_request, _of_spki):
        found = _tried(load, data)
        if found is not None:
            return _given(found)
    raise KeyRefused(KEY_UNREADABLE, "neither certificate, request, public key nor SHA-256 of one")


def _tried(load: Callable[[bytes], object], data: bytes) -> object | None:
    try:
        return load(data)
    except Exception:  # noqa: BLE001 -- parsers raise by version; the next form is tried
        return None


def _of_certificate(data: bytes) -> object:
    load = x509.load_pem_x509_certificate if data.lstrip().startswith(b"-----") else x509.load_der_x509_certificate
    return load(data).public_key()


def _of_request(data: bytes) -> object:
    load = x509.load_pem_x509_csr if data.lstrip().startswith(b"-----") else x509.load_der_x509_csr
    return load(data).public_key()


def _of_spki(data: bytes) -> object:
    if data.lstrip().startswith(b"-----"):
        return load_pem_public_key(data)
    return algorithms.load_public(data)


def _request(data: bytes) -> x509.CertificateSigningRequest:
    if len(data) > MAX_PROOF:
        raise KeyRefused(KEY_PROOF_MALFORMED, f"longer than {MAX_PROOF:,} bytes")
    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_csr(data)
        return x509.load_der_x509_csr(data)
    except Exception as error:
        # By version and defect: ValueError, TypeError or an internal parse error.
        raise KeyRefused(KEY_PROOF_MALFORMED) from error


def _key_of(request: x509.CertificateSigningRequest) -> algorithms.PublicKey:
    try:
        key = request.public_key()
        _ = request.subject, request.extensions
    except Exception as error:
        raise KeyRefused(KEY_PROOF_MALFORMED, "the request's key, subject or extensions cannot be read") from error
    if not isinstance(key, algorithms.PublicKey):
        raise KeyRefused(KEY_PROOF_MALFORMED, "the request's key is not RSA, ECDSA, Ed25519 or ML-DSA")
    # Verifying under a huge modulus is work done for a stranger. Weak keys are welcome: they are why we ask.
    if isinstance(key, rsa.RSAPublicKey) and (key.key_size > 8192 or key.public_numbers().e.bit_length() > 64):
        raise KeyRefused(KEY_PROOF_MALFORMED, "the request's RSA key is larger than Troth ever certifies")
    return key


def _asks_for_something(request: x509.CertificateSigningRequest) -> bool:
    return len(list(request.extensions)) > 0


def _given(key: object) -> GivenKey:
    if not isinstance(key, algorithms.PublicKey):
        raise KeyRefused(KEY_UNREADABLE, "the key is not RSA, ECDSA, Ed25519 or ML-DSA")
    spki = algorithms.spki_of(key)
    return GivenKey(spki, hashlib.sha256(spki).digest())


def block(unit: Unit, key: BlockedKey) -> Unit:
    """Block ``key`` in ``unit``, and revoke its first certificates there."""

    async def step(reader: Reader, inner: Unit) -> None:
        if await BlockedStore(reader).get(key.spki_sha256) is None:
            data = {
                "spki_sha256": key.spki_sha256.hex(), "reason": key.reason, "source": key.source, "note": key.note,
            }  # fmt: skip
            inner.record(Event("key.blocked", key.actor, (f"key:{key.spki_sha256.hex()}",), dict(data)))
        inner.write(BLOCK, key.spki_sha256, key.spki, key.reason, key.source, key.note, key.at, key.actor)
        for kind in (REVOKE_JOB, HOLDERS_JOB):
            enqueue(inner, Job(kind, key.spki_sha256.hex(), key.at))

    unit.exclusively(("blocked_key", key.spki_sha256)).then(step)
    return revoke(unit, OfKey(key.spki_sha256, BATCH), reason=KEY_COMPROMISE, actor=key.actor, at=key.at)


class BlockedKeys:
    """Looking at blocked keys, and blocking more."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = BlockedStore(database)

    async def report(self, proof: bytes, *, actor: str) -> BlockedKey:
        """Block the key that ``proof`` shows to be in its sender's hands. Raises KeyRefused."""
        given = read_proof(proof)
        return await self._block(given, "compromised", "proof", "", actor, Unit())

    async def block(
        self, given: GivenKey, *, reason: str, note: str, actor: str, confirmed: int | None, joined: Unit | None = None
    ) -> BlockedKey:
        """Block on a person's word.

        ``confirmed`` is how many live certificates he was shown; needed above :data:`CONFIRM_ABOVE`, and wrong if
        there are more by now. Raises KeyRefused.
        """
        uses = await self._store.uses(given.sha256, self._clock.now())
        if uses.live > max(CONFIRM_ABOVE, confirmed or 0):
            raise KeyRefused(KEY_BLOCK_MANY, f"{uses.live} live certificates have this key", live=uses.live)
        return await self._block(given, reason, "operator", note, actor, joined or Unit())

    async def _block(self, given: GivenKey, reason: str, source: str, note: str, actor: str, unit: Unit) -> BlockedKey:
        key = BlockedKey(given.sha256, given.spki, reason, source, note[:500], self._clock.now(), actor)
        await self._database.commit(block(unit, key))
        log.warning("key.blocked", spki_sha256=given.sha256.hex(), reason=reason, source=source, actor=actor)
        return await self._store.get(given.sha256) or key

    async def uses(self, spki_sha256: bytes) -> Uses:
        """How many certificates the key has."""
        return await self._store.uses(spki_sha256, self._clock.now())


class KeyRevoker:
    """Handler of ``key.revoke``: a batch at a time, and done when a last look has found nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = BlockedStore(database)

    async def run(self, job: LeasedJob) -> None:
        """One batch. A job whose process dies is taken up again, and finds what is left."""
        digest, now = bytes.fromhex(job.key), self._clock.now()
        key = await self._store.get(digest)
        if key is None:
            await self._database.commit(finish(Unit(), job))
            return
        left = await self._store.uses(digest, now)
        if left.live:
            unit = revoke(Unit(), OfKey(digest, BATCH), reason=KEY_COMPROMISE, actor=ACTOR, at=now)
            await self._database.commit(postpone(unit, job, now))
        elif now < key.at + SETTLED_AFTER:
            await self._database.commit(postpone(Unit(), job, key.at + SETTLED_AFTER))
        else:
            await self._database.commit(finish(Unit(), job))
