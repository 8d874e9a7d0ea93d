"""The TPM itself, by tpm2-pytss. Everything here blocks, and opens the TPM only for as long as it takes.

Objects are loaded for one operation and flushed after it: a TPM without a resource manager has three slots. One
operation at a time; the kernel's ``/dev/tpmrm0`` keeps other programs' apart.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_SE,
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPML_PCR_SELECTION,
    TPMS_SCHEME_HASH,
    TPMT_PUBLIC,
    TPMT_SIG_SCHEME,
    TPMU_SIG_SCHEME,
    TSS2_Exception,
)
from tpm2_pytss.tsskey import TSSPrivKey
from tpm2_pytss.utils import NoSuchIndex, NVReadEK, create_ek_template

from troth.agent.errors import KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import KeyType

# tpm2-tss writes every error code to standard error as well, and an index that is not there is none.
os.environ.setdefault("TSS2_LOG", "all+NONE")

#: What tpm2-openssl derives as well when a key file names the owner hierarchy as its parent.
_PARENT = "ecc256:aes128cfb"
_STORAGE = (
    TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT | TPMA_OBJECT.NODA
    | TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN
)  # fmt: skip
_BOUND = (
    TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.NODA | TPMA_OBJECT.SIGN_ENCRYPT
    | TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN
)  # fmt: skip
_KINDS: dict[KeyType, str] = {
    "p256": "ecc256:null:null", "p384": "ecc384:null:null",
    "rsa2048": "rsa2048:null:null", "rsa3072": "rsa3072:null:null", "rsa4096": "rsa4096:null:null",
}  # fmt: skip
_HASHES = {"sha256": TPM2_ALG.SHA256, "sha384": TPM2_ALG.SHA384, "sha512": TPM2_ALG.SHA512}
_SCHEMES = {"ecdsa": TPM2_ALG.ECDSA, "rsassa": TPM2_ALG.RSASSA, "rsapss": TPM2_ALG.RSAPSS}
_INTEGRITY = 0x9F
#: Tried in this order: every PC has the first, and the attestation CAs of others know no third.
_ENDORSEMENTS = ("EK-RSA2048", "EK-ECC256", "EK-HIGH-RSA2048", "EK-HIGH-ECC256", "EK-HIGH-ECC384", "EK-HIGH-RSA3072")


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
    """One TPM.

    Args:
        tcti: as tpm2-tss writes it: ``device:/dev/tpmrm0``, ``swtpm:host=127.0.0.1,port=2321``.
    """

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._one = threading.Lock()

    def make_key(self, kind: KeyType) -> bytes:
        """A key for signatures that never leaves: ``TSS2 PRIVATE KEY`` in PEM."""
        template = TPMT_PUBLIC.parse(_KINDS[kind], objectAttributes=_BOUND)
        with self._open() as tpm, self._parent(tpm) as parent:
            private, public, *_ = tpm.create(parent, TPM2B_SENSITIVE_CREATE(), TPM2B_PUBLIC(publicArea=template))
            return bytes(TSSPrivKey(private, public).to_pem())

    def make_attestation_key(self) -> Birth:
        """A restricted key (P-256) that signs only what the TPM made, and its certified creation."""
        attributes = (_BOUND | TPMA_OBJECT.RESTRICTED) & ~TPMA_OBJECT.NODA
        template = TPMT_PUBLIC.parse("ecc256:ecdsa-sha256:null", objectAttributes=attributes)
        with self._open() as tpm:
            with self._parent(tpm) as parent:
                private, public, data, digest, ticket = tpm.create(
                    parent, TPM2B_SENSITIVE_CREATE(), TPM2B_PUBLIC(publicArea=template), TPM2B_DATA(),
                    TPML_PCR_SELECTION(),
                )  # fmt: skip
                key = tpm.load(parent, private, public)
            with key:
                attest, signature = tpm.certify_creation(key, key, TPM2B_DATA(), digest, _scheme(), ticket)
            return Birth(
                bytes(TSSPrivKey(private, public).to_pem()),
                bytes(public.publicArea.marshal()),
                bytes(data.creationData.marshal()),
                bytes(attest.attestationData),
                bytes(signature.marshal()),
            )

    def sign(self, pem: bytes, digest: bytes, scheme: str, hash_name: str) -> tuple[bytes, ...]:
        """A signature over ``digest``: (r, s) of ``ecdsa``, else the octets of ``rsassa`` or ``rsapss``."""
        with self._loaded(pem) as (tpm, key):
            found = tpm.sign(key, digest, _scheme(_SCHEMES[scheme], _HASHES[hash_name]))
        if scheme == "ecdsa":
            ecdsa = found.signature.ecdsa
            return bytes(ecdsa.signatureR), bytes(ecdsa.signatureS)
        return (bytes(getattr(found.signature, scheme).sig),)

    def certify(self, pem: bytes, attestation_key: bytes, qualifying: bytes) -> Certification:
        """What the attestation key says of the key in ``pem``, with ``qualifying`` signed along."""
        with self._loaded(pem) as (tpm, key):
            public = _read(pem).public.publicArea.marshal()
            with _load(tpm, attestation_key) as signer:
                attest, signature = tpm.certify(key, signer, qualifying, _scheme())
        return Certification(bytes(attest.attestationData), bytes(signature.marshal()), bytes(public))

    def endorsement(self) -> Endorsement:
        """The first endorsement key that has a certificate in the TPM, or else the usual one (RSA 2048)."""
        with self._open() as tpm:
            read = NVReadEK(tpm)
            for name in _ENDORSEMENTS:
                try:
                    certificate, template = create_ek_template(name, read)
                except (NoSuchIndex, ValueError):  # the latter for a high-range key that has no certificate
                    continue
                if certificate:
                    return self._endorsement(tpm, name, template, bytes(certificate))
            name = _ENDORSEMENTS[0]
            return self._endorsement(tpm, name, create_ek_template(name, read)[1], None)

    def public_endorsement(self, template: str) -> bytes:
        """The endorsement key of one of the TCG's templates (``EK-RSA2048``), SubjectPublicKeyInfo in PEM."""
        with self._open() as tpm:
            made = create_ek_template(template, NVReadEK(tpm))[1]
            return self._endorsement(tpm, template, made, None).public_pem

    def activate(self, template: str, attestation_key: bytes, credential: bytes, secret: bytes) -> bytes:
        """The secret that an attestation CA has encrypted for this TPM and this key.

        ``credential`` and ``secret`` are a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET.
        """
        blob, _ = TPM2B_ID_OBJECT.unmarshal(credential)
        encrypted, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(secret)
        with self._loaded(attestation_key) as (tpm, key):
            made, public, *_ = tpm.create_primary(
                TPM2B_SENSITIVE_CREATE(), create_ek_template(template, NVReadEK(tpm))[1],
                ESYS_TR.RH_ENDORSEMENT,
            )  # fmt: skip
            with made as endorsement, _authorized(tpm, public) as session:
                return bytes(
                    tpm.activate_credential(
                        key, endorsement, blob, encrypted, session1=ESYS_TR.PASSWORD, session2=session
                    )
                )

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._one:
            try:
                with ESAPI(self._tcti) as tpm:
                    yield tpm
            except TSS2_Exception as error:
                raise KeyTrouble(KEY_STORE, f"the TPM at {self._tcti}: {error}") from error

    @contextmanager
    def _loaded(self, pem: bytes) -> Iterator[tuple[Any, Any]]:
        with self._open() as tpm, _load(tpm, pem) as key:
            yield tpm, key

    @staticmethod
    @contextmanager
    def _parent(tpm: Any) -> Iterator[Any]:
        template = TPMT_PUBLIC.parse(_PARENT, objectAttributes=_STORAGE)
        handle, *_ = tpm.create_primary(
            TPM2B_SENSITIVE_CREATE(), TPM2B_PUBLIC(publicArea=template), ESYS_TR.RH_OWNER
        )  # fmt: skip
        with handle:
            yield handle

    @staticmethod
    def _endorsement(tpm: Any, name: str, template: Any, certificate: bytes | None) -> Endorsement:
        handle, public, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.RH_ENDORSEMENT)
        tpm.flush_context(handle)
        return Endorsement(name, bytes(public.to_pem()), certificate)


def public_area(pem: bytes) -> tuple[bytes, bytes]:
    """(TPMT_PUBLIC, SubjectPublicKeyInfo in PEM) of a key's file; the TPM is not asked. Raises KeyTrouble."""
    public = _read(pem).public
    return bytes(public.publicArea.marshal()), bytes(public.to_pem())


def _read(pem: bytes) -> Any:
    try:
        return TSSPrivKey.from_pem(pem)
    except (ValueError, TypeError, TSS2_Exception) as error:
        raise KeyTrouble(KEY_STORE, "the file holds no key of a TPM") from error


def _load(tpm: Any, pem: bytes) -> Any:
    """The key, loaded. Raises KeyTrouble (KEY_MISSING) where this TPM has not wrapped it (TPM_RC_INTEGRITY)."""
    try:
        return _read(pem).load(tpm)
    except TSS2_Exception as error:
        # A format-one code: without the number of the handle or parameter that it speaks of (Part 2, 6.6.2).
        if error.rc & 0xBF == _INTEGRITY:
            raise KeyTrouble(KEY_MISSING, "the TPM has not wrapped this key: it was cleared or exchanged") from error
        raise


def _scheme(algorithm: Any = TPM2_ALG.NULL, hashed: Any = TPM2_ALG.SHA256) -> Any:
    """How to sign; NULL takes what the key has fixed."""
    if algorithm == TPM2_ALG.NULL:
        return TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
    return TPMT_SIG_SCHEME(scheme=algorithm, details=TPMU_SIG_SCHEME(any=TPMS_SCHEME_HASH(hashAlg=hashed)))


@contextmanager
def _authorized(tpm: Any, endorsement: Any) -> Iterator[Any]:
    """Leave to use the endorsement key: its password where it takes one, else its policy (EK Profile, B.6.2)."""
    if endorsement.publicArea.objectAttributes & TPMA_OBJECT.USERWITHAUTH:
        yield ESYS_TR.PASSWORD
        return
    session = tpm.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, None, TPM2_ALG.SHA256)
    try:
        tpm.policy_secret(ESYS_TR.ENDORSEMENT, session)
        yield session
    finally:
        tpm.flush_context(session)
