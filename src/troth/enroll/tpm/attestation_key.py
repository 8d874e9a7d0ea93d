"""Is this an attestation key: made in a TPM, bound to it for ever, and unable to sign what others hand it?

What makes such a key worth a certificate is its public area (Part 2, 8.3.3): *restricted* and *sign*, so that it signs
only what the TPM itself made; *fixedTPM* and *fixedParent*, so that it never leaves; *sensitiveDataOrigin*, so that
nobody knew it before. The creation attestation, signed by the key itself, shows that a TPM that calls itself one
created it; that this TPM is a certain one is shown by nothing but the activated credential.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.enroll.tpm.errors import ATTESTATION_KEY, CREATION, TpmRefused
from troth.enroll.tpm.signature import verify_signature
from troth.pki.algorithms import spki_of
from troth.pki.keycheck import check_offered
from troth.tpm.structures import (
    Algorithm,
    Attributes,
    Created,
    Public,
    digest,
    read_attest,
    read_creation_data,
    read_public,
    read_signature,
)

_MUST = {
    Attributes.FIXED_TPM: "fixedTPM",
    Attributes.FIXED_PARENT: "fixedParent",
    Attributes.SENSITIVE_DATA_ORIGIN: "sensitiveDataOrigin",
    Attributes.RESTRICTED: "restricted",
    Attributes.SIGN: "sign",
}
_SCHEMES = {Algorithm.RSASSA, Algorithm.RSAPSS, Algorithm.ECDSA}
_SOUND = {Algorithm.SHA256, Algorithm.SHA384, Algorithm.SHA512}


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A key that passed.

    Attributes:
        name: the Name that the TPM knows it by.
        spki: DER SubjectPublicKeyInfo.
    """

    public: Public
    name: bytes
    spki: bytes

    @property
    def key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        """The public key."""
        return self.public.key()


def read_attestation_key(encoded: bytes) -> AttestationKey:
    """The key of a TPMT_PUBLIC. Raises TpmRefused with expected and got, KeyRefused for a weak key."""
    public = read_public(encoded)
    missing = [name for attribute, name in _MUST.items() if not public.has(attribute)]
    if missing:
        raise TpmRefused(ATTESTATION_KEY, f"expected {', '.join(_MUST.values())}; without {', '.join(missing)}")
    if public.attributes & Attributes.DECRYPT:
        raise TpmRefused(ATTESTATION_KEY, "expected a key for signatures alone, got one that decrypts as well")
    if public.name_algorithm not in _SOUND:
        raise TpmRefused(ATTESTATION_KEY, f"expected a Name by SHA-256 or longer, got {public.name_algorithm.name}")
    if public.scheme.algorithm not in _SCHEMES or public.scheme.hash not in _SOUND:
        # A restricted key has its scheme fixed (Part 2, 12.2.3.5 and .6).
        told = public.scheme.algorithm.name + (f" with {public.scheme.hash.name}" if public.scheme.hash else "")
        raise TpmRefused(ATTESTATION_KEY, f"expected RSASSA, RSAPSS or ECDSA with SHA-256 or longer, got {told}")
    key = public.key()
    check_offered(key)
    return AttestationKey(public, public.name, spki_of(key))


def check_creation(key: AttestationKey, data: bytes, attestation: bytes, signature: bytes) -> None:
    """Raise TpmRefused unless ``key`` attests its own creation.

    Args:
        data: TPMS_CREATION_DATA.
        attestation: TPMS_ATTEST of TPM2_CertifyCreation.
        signature: TPMT_SIGNATURE over it, by ``key``.
    """
    read_creation_data(data)
    attest = read_attest(attestation)
    if not isinstance(attest.attested, Created):
        raise TpmRefused(CREATION, "expected an attestation of creation, got one of another kind")
    if not hmac.compare_digest(attest.attested.name, key.name):
        raise TpmRefused(CREATION, f"expected the Name {key.name.hex()}, got {attest.attested.name.hex()}")
    wanted = digest(key.public.name_algorithm, data)
    if not hmac.compare_digest(attest.attested.creation_hash, wanted):
        raise TpmRefused(CREATION, f"expected creation data of hash {attest.attested.creation_hash.hex()}, got others")
    verify_signature(read_signature(signature), key.key, attestation)
