"""The place for keys in a TPM, and the attestation key that speaks for them.

A directory holds a file for each key (``LABEL.tpm``, the key wrapped by the TPM), and in ``attestation/`` the
attestation key (``key.tpm``) and its certificate with the chain (``chain.pem``), which
:mod:`troth.agent.keys.tpm.enrol` has made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from troth.agent import disk
from troth.agent.errors import ATTESTATION_MISSING, KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import Attested, KeyAccess, KeyType
from troth.agent.keys.tpm.device import Tpm, public_area
from troth.agent.keys.tpm.signing import TpmEcKey, TpmRsaKey

#: COSE algorithms (RFC 9053, 2.1) of the attestation keys that this agent makes: ECDSA with SHA-256.
_ES256 = -7


@dataclass(frozen=True, slots=True)
class TpmKey:
    """One key of this place; see :class:`~troth.agent.keys.model.AttestingKey`."""

    label: str
    place: TpmKeys
    pem: bytes
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    def private_key(self) -> TpmEcKey | TpmRsaKey:
        """Signs in the TPM, and does nothing else."""
        if isinstance(self.public_key, rsa.RSAPublicKey):
            return TpmRsaKey(self.place.tpm, self.pem, self.public_key)
        return TpmEcKey(self.place.tpm, self.pem, self.public_key)

    def access(self) -> KeyAccess:
        """``TSS2 PRIVATE KEY``, which OpenSSL's provider tpm2 loads."""
        return KeyAccess(self.pem)

    def attest(self, key_authorization: str) -> Attested:
        """The ``tpm`` statement (WebAuthn, 8.3, with the key authorization's SHA-256 as extraData).

        Raises KeyTrouble: also while the attestation key has no certificate yet.
        """
        identity = self.place.attestation()
        if not identity.chain:
            raise KeyTrouble(ATTESTATION_MISSING, "the attestation key has no certificate yet")
        qualifying = hashlib.sha256(key_authorization.encode()).digest()
        try:
            certification = self.place.tpm.certify(self.pem, identity.pem, qualifying)
        except KeyTrouble as trouble:
            if trouble.reason is KEY_MISSING:  # after a TPM was cleared, neither of the two is there
                self.place.forget_attestation()
            raise
        return Attested(
            "tpm",
            {
                "ver": "2.0",
                "alg": _ES256,
                "x5c": [one.public_bytes(Encoding.DER) for one in identity.chain],
                "sig": certification.signature,
                "certInfo": certification.attestation,
                "pubArea": certification.public,
            },
        )

    def disbelieved(self) -> None:
        """Enrol another attestation key before the next statement."""
        self.place.forget_attestation()


@dataclass(frozen=True, slots=True)
class AttestationIdentity:
    """The attestation key and its certificates, the leaf first; none before it was enrolled."""

    pem: bytes
    chain: tuple[x509.Certificate, ...]

    def lasts(self, now: datetime) -> bool:
        """Whether it has a certificate with more than a third of its time ahead."""
        if not self.chain:
            return False
        begin, end = self.chain[0].not_valid_before_utc, self.chain[0].not_valid_after_utc
        return now + timedelta(seconds=(end - begin).total_seconds() / 3) < end


class TpmKeys:
    """See the module, and :class:`~troth.agent.keys.model.KeyPlace`."""

    def __init__(self, directory: Path, tpm: Tpm) -> None:
        self._directory = directory
        self.tpm = tpm

    def create(self, label: str, type: KeyType) -> TpmKey:
        pem = self.tpm.make_key(type)
        disk.make_directory(self._directory)
        disk.write(self._path(label), pem)
        return self._key(label, pem)

    def load(self, label: str) -> TpmKey:
        pem = disk.read(self._path(label))
        if pem is None:
            raise KeyTrouble(KEY_MISSING, f"there is no file {self._path(label)}")
        return self._key(label, pem)

    def remove(self, label: str) -> None:
        disk.remove(self._path(label))

    def attestation(self) -> AttestationIdentity:
        """The attestation key as it was last enrolled. Raises KeyTrouble if there is none."""
        pem, chain = disk.read(self._attestation / "key.tpm"), disk.read(self._attestation / "chain.pem")
        if pem is None:
            raise KeyTrouble(ATTESTATION_MISSING, f"there is no file {self._attestation / 'key.tpm'}")
        try:
            return AttestationIdentity(pem, tuple(x509.load_pem_x509_certificates(chain)) if chain else ())
        except ValueError as error:
            raise KeyTrouble(KEY_STORE, f"{self._attestation / 'chain.pem'} holds no certificates") from error

    def keep_attestation(self, pem: bytes, chain: Sequence[x509.Certificate]) -> None:
        """Hold this key and its certificates from now on: the chain last, so that a half-done change is seen."""
        disk.make_directory(self._directory)
        disk.make_directory(self._attestation)
        disk.remove(self._attestation / "chain.pem")
        disk.write(self._attestation / "key.tpm", pem)
        disk.write(self._attestation / "chain.pem", b"".join(one.public_bytes(Encoding.PEM) for one in chain))

    def forget_attestation(self) -> None:
        """Have no attestation key, so that a new one is enrolled."""
        disk.remove(self._attestation / "chain.pem")
        disk.remove(self._attestation / "key.tpm")

    @property
    def _attestation(self) -> Path:
        return self._directory / "attestation"

    def _key(self, label: str, pem: bytes) -> TpmKey:
        public = load_pem_public_key(public_area(pem)[1])
        if not isinstance(public, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
            raise KeyTrouble(KEY_STORE, f"{self._path(label)} holds a key of a kind that is not known here")
        return TpmKey(label, self, pem, public)

    def _path(self, label: str) -> Path:
        return self._directory / f"{label}.tpm"
