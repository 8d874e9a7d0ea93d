"""The TPM itself. Everything here blocks, and opens the TPM only for as long as it takes.

Objects are loaded for one operation and flushed after it: a TPM without a resource manager has three slots. One
operation at a time; the kernel's ``/dev/tpmrm0`` and Windows' TBS keep other programs' apart.

A key's parent is the storage root key that the owner hierarchy gives without a password, as TPMs on Linux have it.
Where that takes one, as Windows sets it, the persistent storage root key is the parent, whether we know the password or
not: programs that use the key could not give it. For an endorsement key whose hierarchy is closed to us the persistent
one takes its place. The two are 0x81000001 and 0x81010001 by the TCG's registry of handles.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from troth.agent.errors import KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import KeyType
from troth.agent.keys.tpm import keyfile
from troth.agent.keys.tpm.commands import ENDORSEMENT, FREE, OWNER, Commands
from troth.agent.keys.tpm.doors import open_door
from troth.agent.keys.tpm.errors import HandleUnknown, NotAuthorized, NotOurs, TpmError, Unreachable
from troth.agent.keys.tpm.keyfile import KeyFile, subject_public_key_info
from troth.agent.keys.tpm.templates import ATTESTATION, ENDORSEMENTS, KEYS, STORAGE, EndorsementTemplate
from troth.tpm.errors import TpmMalformed
from troth.tpm.numbers import Algorithm, Attributes
from troth.tpm.structures import EcdsaSignature, RsaSignature, read_public, read_signature

_STORAGE_ROOT, _ENDORSEMENT_KEY = 0x81000001, 0x81010001
_HASHES = {"sha256": Algorithm.SHA256, "sha384": Algorithm.SHA384, "sha512": Algorithm.SHA512}
_SCHEMES = {"ecdsa": Algorithm.ECDSA, "rsassa": Algorithm.RSASSA, "rsapss": Algorithm.RSAPSS}


@dataclass(frozen=True, slots=True)
class Birth:
    """A new attestation key, and the TPM's word on its creation, each as the TPM encodes it."""

    pem: bytes
    public: bytes
    creation_data: bytes
    attestation: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Certification:
    """What a key's attestation says of another key: TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC."""

    attestation: bytes
    signature: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Endorsement:
    """The TPM's endorsement key: its template's name, SubjectPublicKeyInfo (PEM), certificate (DER) if there is one."""

    template: str
    public_pem: bytes
    certificate: bytes | None


class Tpm:
    """One TPM. Everything raises KeyTrouble.

    Args:
        tcti: the way to it, as :mod:`troth.agent.keys.tpm.doors` has it.
    """

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._one = threading.Lock()

    def make_key(self, kind: KeyType) -> bytes:
        """A key for signatures that never leaves: ``TSS2 PRIVATE KEY`` in PEM."""
        with self._open() as tpm, _parent(tpm) as (parent, named):
            made = tpm.create(parent, KEYS[kind])
        return KeyFile(made.public, made.private, named).pem()

    def make_attestation_key(self) -> Birth:
        """A restricted key (P-256) that signs only what the TPM made, and its certified creation."""
        with self._open() as tpm, _parent(tpm) as (parent, named):
            made = tpm.create(parent, ATTESTATION)
            with tpm.loaded(parent, made.private, made.public) as key:
                attestation, signature = tpm.certify_creation(key, made)
        pem = KeyFile(made.public, made.private, named).pem()
        return Birth(pem, made.public, made.creation_data, attestation, signature)

    def sign(self, pem: bytes, digest: bytes, scheme: str, hash_name: str) -> tuple[bytes, ...]:
        """A signature over ``digest``: (r, s) of ``ecdsa``, else the octets of ``rsassa`` or ``rsapss``."""
        with self._open() as tpm, _loaded(tpm, keyfile.read(pem)) as key:
            found = read_signature(tpm.sign(key, digest, _SCHEMES[scheme], _HASHES[hash_name]))
        match found:
            case EcdsaSignature(r=r, s=s):
                return tuple(one.to_bytes(max(1, (one.bit_length() + 7) // 8)) for one in (r, s))
            case RsaSignature(signature=signature):
                return (signature,)

    def certify(self, pem: bytes, attestation_key: bytes, qualifying: bytes) -> Certification:
        """What the attestation key says of the key in ``pem``, with ``qualifying`` signed along."""
        one, other = keyfile.read(pem), keyfile.read(attestation_key)
        with self._open() as tpm, _loaded(tpm, one) as key, _loaded(tpm, other) as signer:
            attestation, signature = tpm.certify(key, signer, qualifying)
        return Certification(attestation, signature, one.public)

    def endorsement(self) -> Endorsement:
        """The first endorsement key that has a certificate in the TPM, or else the usual one (RSA 2048)."""
        with self._open() as tpm:
            chunk = tpm.nv_buffer()
            for name, template in ENDORSEMENTS.items():
                certificate = _nv(tpm, template.certificate, chunk)
                if certificate:
                    with _endorsement(tpm, template) as (_, public):
                        return Endorsement(name, subject_public_key_info(public), _der(certificate))
            name = next(iter(ENDORSEMENTS))
            with _endorsement(tpm, ENDORSEMENTS[name]) as (_, public):
                return Endorsement(name, subject_public_key_info(public), None)

    def public_endorsement(self, template: str) -> bytes:
        """The endorsement key of one of the TCG's templates (``EK-RSA2048``), SubjectPublicKeyInfo in PEM."""
        with self._open() as tpm, _endorsement(tpm, ENDORSEMENTS[template]) as (_, public):
            return subject_public_key_info(public)

    def activate(self, template: str, attestation_key: bytes, credential: bytes, secret: bytes) -> bytes:
        """The secret that an attestation CA has encrypted for this TPM and this key.

        ``credential`` and ``secret`` are a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET.
        """
        held = keyfile.read(attestation_key)
        with (
            self._open() as tpm,
            _loaded(tpm, held) as key,
            _endorsement(tpm, ENDORSEMENTS[template]) as (endorsement, public),
        ):
            if read_public(public).has(Attributes.USER_WITH_AUTH):  # EK Profile, B.6.2
                return tpm.activate_credential(key, endorsement, FREE, credential, secret)
            with tpm.endorsement_policy() as leave:
                return tpm.activate_credential(key, endorsement, leave, credential, secret)

    @contextmanager
    def _open(self) -> Iterator[Commands]:
        with self._one:
            try:
                door = open_door(self._tcti)
                try:
                    yield Commands(door)
                finally:
                    door.close()
            except NotOurs as error:
                why = "the TPM has not wrapped this key: it was cleared or exchanged"
                raise KeyTrouble(KEY_MISSING, why) from error
            except (TpmError, Unreachable) as error:
                raise KeyTrouble(KEY_STORE, f"the TPM at {self._tcti}: {error}") from error
            except TpmMalformed as error:
                raise KeyTrouble(KEY_STORE, f"the TPM at {self._tcti}: {error.detail}") from error


def public_area(pem: bytes) -> tuple[bytes, bytes]:
    """(TPMT_PUBLIC, SubjectPublicKeyInfo in PEM) of a key's file; the TPM is not asked. Raises KeyTrouble."""
    held = keyfile.read(pem)
    return held.public, held.public_pem()


@contextmanager
def _primary(tpm: Commands, hierarchy: int, template: bytes, persistent: int) -> Iterator[tuple[int, bytes, int]]:
    """The primary key of ``template``, or where the hierarchy is closed to us the one at ``persistent``.

    Gives its handle, its TPMT_PUBLIC, and what a file calls it: the hierarchy or the persistent handle.
    """
    with ExitStack() as stack:
        try:
            handle, public = stack.enter_context(tpm.primary(hierarchy, template))
            named = hierarchy
        except NotAuthorized as refusal:
            try:
                handle, public, named = persistent, tpm.read_public(persistent), persistent
            except HandleUnknown:
                raise refusal from None
        yield handle, public, named


@contextmanager
def _parent(tpm: Commands, named: int | None = None) -> Iterator[tuple[int, int]]:
    """The handle of what wraps keys, and how a key's file names it: ``named``, or for a new key what fits."""
    if named is None:
        named = _STORAGE_ROOT if tpm.has_password(OWNER) and _is_there(tpm, _STORAGE_ROOT) else OWNER
    if named == OWNER:
        with _primary(tpm, OWNER, STORAGE, _STORAGE_ROOT) as (handle, _, found):
            yield handle, found
    else:
        yield named, named


@contextmanager
def _loaded(tpm: Commands, held: KeyFile) -> Iterator[int]:
    with ExitStack() as stack:
        with _parent(tpm, held.parent) as (parent, _):  # let go before the next key needs its slot
            key = stack.enter_context(tpm.loaded(parent, held.private, held.public))
        yield key


@contextmanager
def _endorsement(tpm: Commands, template: EndorsementTemplate) -> Iterator[tuple[int, bytes]]:
    """The endorsement key of this template, by the maker's own form of it where the TPM holds one."""
    chunk = tpm.nv_buffer()
    public = _nv(tpm, template.template, chunk) or template.public
    nonce = _nv(tpm, template.nonce, chunk) if template.nonce else None
    if nonce:
        public = template.with_nonce(public, nonce)
    with _primary(tpm, ENDORSEMENT, public, _ENDORSEMENT_KEY) as (handle, found, _):
        if found[:2] != template.public[:2]:
            raise Unreachable(f"the persistent endorsement key {handle:#x} is of another kind than the certificate's")
        yield handle, found


def _is_there(tpm: Commands, handle: int) -> bool:
    try:
        tpm.read_public(handle)
    except HandleUnknown:
        return False
    return True


def _nv(tpm: Commands, index: int, chunk: int) -> bytes | None:
    """What is at an NV index; None where nothing is, or nothing that we may read."""
    try:
        return tpm.read_nv(index, chunk)
    except (HandleUnknown, NotAuthorized):
        return None


def _der(data: bytes) -> bytes:
    """A certificate without what fills its NV index up: it is a SEQUENCE with a length of two octets."""
    return data[: 4 + int.from_bytes(data[2:4])] if data[:2] == b"\x30\x82" else data
