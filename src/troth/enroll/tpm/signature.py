"""A TPM's signature, verified with the library."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from troth.enroll.tpm.errors import SIGNATURE, TpmRefused
from troth.tpm.structures import Algorithm, EcdsaSignature, RsaSignature, TpmSignature

_HASHES: dict[Algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    Algorithm.SHA256: hashes.SHA256(),
    Algorithm.SHA384: hashes.SHA384(),
    Algorithm.SHA512: hashes.SHA512(),
}


def verify_signature(
    signature: TpmSignature, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, data: bytes
) -> None:  # fmt: skip
    """Raise TpmRefused (``tpm.signature.wrong``) unless ``signature`` over ``data`` is ``key``'s. SHA-1 never is."""
    hashed = _HASHES.get(signature.hash)
    if hashed is None:
        raise TpmRefused(SIGNATURE, f"expected SHA-256, SHA-384 or SHA-512, got {signature.hash.name}")
    try:
        if isinstance(signature, EcdsaSignature) and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(encode_dss_signature(signature.r, signature.s), data, ec.ECDSA(hashed))
        elif isinstance(signature, RsaSignature) and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.signature, data, _padding(signature, hashed), hashed)
        else:
            raise TpmRefused(SIGNATURE, f"a signature of another kind than the key's, {type(signature).__name__}")
    except (InvalidSignature, ValueError) as error:
        raise TpmRefused(SIGNATURE, "the signature does not verify with the key given") from error


def _padding(
    signature: RsaSignature, hashed: hashes.SHA256 | hashes.SHA384 | hashes.SHA512
) -> padding.PKCS1v15 | padding.PSS:
    if signature.scheme is Algorithm.RSASSA:
        return padding.PKCS1v15()
    # TPMs take the longest salt that fits, or the digest's length (Part 1, B.7): any length verifies.
    return padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO)
