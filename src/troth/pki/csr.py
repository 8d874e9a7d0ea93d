"""Certificate signing requests (PKCS#10, RFC 2986) from strangers: what is taken from them, and how little.

A request proves possession of a key and *asks* for names. Nothing else in it counts: key usages, policies and
extensions come from the profile. A request that asks to become an authority is refused rather than quietly
narrowed, since its sender is confused or hostile.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from troth.pki import der
from troth.pki.algorithms import PublicKey
from troth.pki.errors import CSR_CA, CSR_MALFORMED, CSR_SIGNATURE, KEY_UNSUPPORTED, CsrRefused, KeyRefused
from troth.pki.keycheck import CURVES, CheckedKey, check_offered
from troth.pki.names import GeneralNames, canonical_names, names_of

MAX_BYTES = 16_384
MAX_NAMES = 100
_ATTRIBUTES = 0xA0
_ODD_VERSION = 2
#: What the library would make anew for each request.
_USUAL = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
}
_UNREADABLE = "not a DER-encoded PKCS#10 request with a supported key"


class SigningRequest(msgspec.Struct, frozen=True):
    """What a request proves and asks for.

    Attributes:
        key: the public key whose possession was proved.
        names: requested subject alternative names, canonical.
        common_name: the subject's CN as sent, or None.
        public_key: ``key``, loaded.
    """

    key: CheckedKey
    names: GeneralNames
    common_name: str | None
    public_key: PublicKey


def parse_csr(data: bytes) -> SigningRequest:
    """Read DER PKCS#10 of at most :data:`MAX_BYTES`.

    Raises CsrRefused (malformed, signature wrong, CA asked for, too many names), KeyRefused, NameRefused.
    """
    csr = load_csr(data)
    try:
        public = csr.public_key()
    except Exception as error:
        raise CsrRefused(CSR_MALFORMED, _UNREADABLE) from error
    if not isinstance(public, PublicKey):
        raise KeyRefused(KEY_UNSUPPORTED, "the request's key is not RSA, ECDSA, Ed25519 or ML-DSA")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name not in CURVES:
        raise KeyRefused(KEY_UNSUPPORTED, f"curve {public.curve.name} is not accepted")
    # The key before the signature: verifying with a 16,384-bit modulus is work done for a stranger.
    key = check_offered(public)
    try:
        genuine = _signs(public, csr, data)
    except Exception as error:
        raise CsrRefused(CSR_SIGNATURE, "the request's signature algorithm is not supported") from error
    if not genuine:
        raise CsrRefused(CSR_SIGNATURE)
    return SigningRequest(key, _names(csr), _common_name(csr), public)


def load_csr(data: bytes) -> x509.CertificateSigningRequest:
    """A request, not yet checked. It may read otherwise than it was signed: see :func:`straightened`.

    Raises CsrRefused.
    """
    if len(data) > MAX_BYTES:
        raise CsrRefused(CSR_MALFORMED, f"the request is longer than {MAX_BYTES:,} bytes")
    try:
        try:
            return x509.load_der_x509_csr(data)
        except (ValueError, x509.InvalidVersion):
            return x509.load_der_x509_csr(straightened(data))
    except Exception as error:
        # By version and defect this is ValueError, TypeError, UnsupportedAlgorithm or an internal parse error.
        raise CsrRefused(CSR_MALFORMED, _UNREADABLE) from error


def straightened(data: bytes) -> bytes:
    """``data``, a request, as the library reads it: no longer what was signed.

    Attributes come in the order of DER (X.690, 11.6), where strongSwan and others write the set as they filled it. The
    version is the only one there is, 0, where Ruby's acme-client writes 2 as if it were a certificate's. Raises
    ValueError for what is wrong in another way.
    """
    reader = der.Reader(data)
    outer = reader.enter(der.SEQUENCE)
    reader.close()
    info = outer.enter(der.SEQUENCE)
    version = der.read_integer(info.read(der.INTEGER))
    if not 0 <= version <= _ODD_VERSION:
        raise ValueError("no version of a request, nor one that is taken for it")
    head = [der.integer(0), info.whole(), info.whole()]  # version, subject, subjectPKInfo
    attributes, found = info.enter(_ATTRIBUTES), []
    while not attributes.empty:
        one = attributes.enter(der.SEQUENCE)
        kind, values, members = one.whole(), one.enter(der.SET), []
        while not values.empty:
            members.append(values.whole())
        one.close()
        found.append(der.sequence(kind, der.tlv(der.SET, b"".join(sorted(members)))))
    info.close()
    ordered = der.sequence(*head, der.tlv(_ATTRIBUTES, b"".join(sorted(found))))
    return der.sequence(ordered, outer.rest())


def _signs(key: PublicKey, csr: x509.CertificateSigningRequest, signed: bytes) -> bool:
    """Whether the signature holds over the octets that were ``signed``, not over what ``csr`` was made of."""
    info = der.Reader(signed).enter(der.SEQUENCE).whole()
    parameters = _USUAL.get(csr.signature_algorithm_oid) or csr.signature_algorithm_parameters
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(parameters, ec.ECDSA):
                return False
            key.verify(csr.signature, info, parameters)
        elif isinstance(key, rsa.RSAPublicKey):
            digest = csr.signature_hash_algorithm
            if digest is None or not isinstance(parameters, (padding.PKCS1v15, padding.PSS)):
                return False
            key.verify(csr.signature, info, parameters, digest)
        elif parameters is not None:
            return False
        else:
            key.verify(csr.signature, info)
    except InvalidSignature:
        return False
    return True


def _names(csr: x509.CertificateSigningRequest) -> GeneralNames:
    try:
        # Of their own classes, each of which there is once at most: an abstract class would be asked for each.
        asked: dict[type, Any] = {type(one.value): one.value for one in csr.extensions}
    except Exception as error:
        raise CsrRefused(CSR_MALFORMED, "the requested extensions cannot be read") from error
    constraints, names = asked.get(x509.BasicConstraints), asked.get(x509.SubjectAlternativeName)
    if constraints is not None and constraints.ca:
        raise CsrRefused(CSR_CA)
    if names is None:
        return ()
    if len(list(names)) > MAX_NAMES:
        raise CsrRefused(CSR_MALFORMED, f"the request asks for more than {MAX_NAMES} names")
    return canonical_names(names_of(names))


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
