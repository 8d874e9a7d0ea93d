"""Certificate signing requests (PKCS#10, RFC 2986) from strangers: what is taken from them, and how little.

A request proves possession of a key and *asks* for names. Nothing else in it counts: key usages, policies and
extensions come from the profile. A request that asks to become an authority is refused rather than quietly
narrowed, since its sender is confused or hostile.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from troth.pki.algorithms import PublicKey
from troth.pki.errors import CSR_CA, CSR_MALFORMED, CSR_SIGNATURE, KEY_UNSUPPORTED, CsrRefused, KeyRefused
from troth.pki.keycheck import CURVES, CheckedKey, check_offered
from troth.pki.names import GeneralNames, canonical_names, names_of

MAX_BYTES = 16_384
MAX_NAMES = 100


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What a request proves and asks for.

    Attributes:
        key: the public key whose possession was proved.
        names: requested subject alternative names, canonical.
        common_name: the subject's CN as sent, or None.
    """

    key: CheckedKey
    names: GeneralNames
    common_name: str | None


def parse_csr(data: bytes) -> SigningRequest:
    """Read DER PKCS#10 of at most :data:`MAX_BYTES`.

    Raises CsrRefused (malformed, signature wrong, CA asked for, too many names), KeyRefused, NameRefused.
    """
    if len(data) > MAX_BYTES:
        raise CsrRefused(CSR_MALFORMED, f"the request is longer than {MAX_BYTES:,} bytes")
    try:
        csr = x509.load_der_x509_csr(data)
        public = csr.public_key()
    except Exception as error:
        # By version and defect this is ValueError, TypeError, UnsupportedAlgorithm or an internal parse error.
        raise CsrRefused(CSR_MALFORMED, "not a DER-encoded PKCS#10 request with a supported key") from error
    if not isinstance(public, PublicKey):
        raise KeyRefused(KEY_UNSUPPORTED, "the request's key is not RSA, ECDSA, Ed25519 or ML-DSA")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name not in CURVES:
        raise KeyRefused(KEY_UNSUPPORTED, f"curve {public.curve.name} is not accepted")
    # The key before the signature: verifying with a 16,384-bit modulus is work done for a stranger.
    key = check_offered(public)
    try:
        genuine = csr.is_signature_valid
    except Exception as error:
        raise CsrRefused(CSR_SIGNATURE, "the request's signature algorithm is not supported") from error
    if not genuine:
        raise CsrRefused(CSR_SIGNATURE)
    return SigningRequest(key, _names(csr), _common_name(csr))


def _names(csr: x509.CertificateSigningRequest) -> GeneralNames:
    try:
        extensions = csr.extensions
        constraints = [e.value for e in extensions if isinstance(e.value, x509.BasicConstraints)]
        asked = [e.value for e in extensions if isinstance(e.value, x509.SubjectAlternativeName)]
    except Exception as error:
        raise CsrRefused(CSR_MALFORMED, "the requested extensions cannot be read") from error
    if any(constraint.ca for constraint in constraints):
        raise CsrRefused(CSR_CA)
    if not asked:
        return ()
    if len(list(asked[0])) > MAX_NAMES:
        raise CsrRefused(CSR_MALFORMED, f"the request asks for more than {MAX_NAMES} names")
    return canonical_names(names_of(asked[0]))


def _common_name(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        values = [a.value for a in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except Exception as error:
        raise CsrRefused(CSR_MALFORMED, "the subject cannot be read") from error
    if len(values) > 1:
        raise CsrRefused(CSR_MALFORMED, "the subject has more than one common name")
    if not values:
        return None
    value = values[0]
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 64:
        raise CsrRefused(CSR_MALFORMED, "the common name is not printable text of 1 to 64 characters (X.520)")
    return value
