"""JOSE, as much of it as ACME needs: base64url, public JWKs, thumbprints, signatures.

Direct calls into ``cryptography`` and no JOSE library: a verification then costs what the raw primitive costs
(75 µs for ES256), where a general library adds two thirds of that again. Everything raises
:class:`~troth.client.errors.JoseError` and nothing returns a bool.

Sources: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (algorithms), RFC 7638 (thumbprints), RFC 8037 (Ed25519).
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from troth.client.errors import JOSE_ALGORITHM, JOSE_ENCODING, JOSE_KEY, JOSE_SIGNATURE, JoseError

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

#: Every algorithm that :meth:`VerifyingKey.verify` knows. No ``none``, no HMAC: RFC 8555, 6.2 forbids both.
ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "RS256")

#: What an RSA key may also sign with where a caller names it: RSASSA-PSS (RFC 7518, 3.5), salt as long as the hash.
PSS_ALGORITHMS = ("PS256", "PS384", "PS512")

#: Members that hold secrets (RFC 7518, 6.2.2 and 6.3.2): a peer that sends one has lost its key.
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

#: Padding and the other alphabet's characters become one that no alphabet has.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    algorithm: str
    curve: ec.EllipticCurve
    ecdsa: ec.ECDSA
    size: int  # octets of a coordinate


_CURVES = (
    _Curve("P-256", "ES256", ec.SECP256R1(), ec.ECDSA(hashes.SHA256()), 32),
    _Curve("P-384", "ES384", ec.SECP384R1(), ec.ECDSA(hashes.SHA384()), 48),
    _Curve("P-521", "ES512", ec.SECP521R1(), ec.ECDSA(hashes.SHA512()), 66),
)
_BY_CURVE_NAME = {curve.name: curve for curve in _CURVES}
_BY_OPENSSL_NAME = {curve.curve.name: curve for curve in _CURVES}
_BY_ALGORITHM = {curve.algorithm: curve for curve in _CURVES}
#: By how many characters are left over: the padding, and which last characters have no stray bits.
_ENDS = ((b"", None), (b"", None), (b"==", frozenset(b"AQgw")), (b"=", frozenset(b"AEIMQUYcgkosw048")))
_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()
_PSS_HASHES: Mapping[str, hashes.HashAlgorithm] = dict(
    zip(PSS_ALGORITHMS, (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()), strict=True)
)


def b64url_encode(data: bytes) -> str:
    """``data`` in base64url without padding (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URLSAFE).decode("ascii")


def b64url_decode(text: str | bytes) -> bytes:
    """The bytes of canonical base64url ``text``.

    Raises JoseError for padding, foreign characters, white space and stray bits in the last character: with
    those allowed, one signed message has many texts, and a check on the text can be walked around.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        filling, last = _ENDS[len(raw) & 3]
        data = binascii.a2b_base64(raw.translate(_TO_STANDARD) + filling, strict_mode=True)
    except ValueError:
        raise JoseError(JOSE_ENCODING) from None
    if last is not None and raw[-1] not in last:
        raise JoseError(JOSE_ENCODING)
    return data


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and what JOSE says of it.

    Attributes:
        public_key: the key itself.
        jwk: the required members only, in the order of RFC 7638.
        thumbprint: SHA-256 of that JWK, base64url: the second half of every key authorization.
        algorithm: the one JWS algorithm that fits the key.
    """

    public_key: PublicKey
    jwk: Mapping[str, str]
    thumbprint: str
    algorithm: str

    @classmethod
    def from_jwk(cls, jwk: object) -> VerifyingKey:
        """The key in a decoded JWK. Raises JoseError for unknown kinds, private members and points off the curve.

        Nothing is said about strength; that is the caller's policy.
        """
        if not isinstance(jwk, Mapping):
            raise JoseError(JOSE_KEY, "the JWK is not a JSON object")
        if not PRIVATE_MEMBERS.isdisjoint(jwk):
            raise JoseError(JOSE_KEY, "the JWK holds private members; consider this key disclosed")
        kind = jwk.get("kty")
        try:
            if kind == "EC":
                return cls.from_public_key(_ec_from_jwk(jwk))
            if kind == "RSA":
                exponent, modulus = _unsigned(jwk.get("e"), 8), _unsigned(jwk.get("n"), 2048)
                return cls.from_public_key(rsa.RSAPublicNumbers(exponent, modulus).public_key())
            if kind == "OKP":
                if jwk.get("crv") != "Ed25519":
                    raise JoseError(JOSE_KEY, "of the OKP keys only Ed25519 is known here")
                return cls.from_public_key(ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk.get("x"))))
        except ValueError:
            raise JoseError(JOSE_KEY, "the JWK's numbers are no valid key") from None
        raise JoseError(JOSE_KEY, "the JWK's kty is not one of EC, RSA and OKP")

    @classmethod
    def from_public_key(cls, key: object, *, spki: bytes = b"") -> VerifyingKey:
        """``key``, an object of ``cryptography``. Raises JoseError for kinds and curves without a JWS algorithm.

        ``spki``: its SubjectPublicKeyInfo as ``cryptography`` writes it, where that is at hand: a point stands at the
        end of it, and need not be written again.
        """
        jwk: dict[str, str]
        if isinstance(key, ec.EllipticCurvePublicKey):
            curve = _BY_OPENSSL_NAME.get(key.curve.name)
            if curve is None:
                raise JoseError(JOSE_KEY, "of the curves only P-256, P-384 and P-521 are known here")
            point = spki or key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            x, y = point[-2 * curve.size : -curve.size], point[-curve.size :]
            jwk = {"crv": curve.name, "kty": "EC", "x": b64url_encode(x), "y": b64url_encode(y)}
            return cls(key, jwk, thumbprint(jwk), curve.algorithm)
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            jwk = {"e": _from_unsigned(numbers.e), "kty": "RSA", "n": _from_unsigned(numbers.n)}
            return cls(key, jwk, thumbprint(jwk), "RS256")
        if isinstance(key, ed25519.Ed25519PublicKey):
            jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64url_encode(key.public_bytes_raw())}
            return cls(key, jwk, thumbprint(jwk), "EdDSA")
        raise JoseError(JOSE_KEY)

    def verify(self, algorithm: str, signing_input: bytes, signature: bytes) -> None:
        """Hold ``signature`` (as in the JWS, r ‖ s for ES*) against ``signing_input``. Raises JoseError."""
        if algorithm != self.algorithm:
            raise JoseError(JOSE_ALGORITHM, f"this key signs with {self.algorithm}")
        key: Any = self.public_key
        curve = _BY_ALGORITHM.get(algorithm)  # which tells the key's class as well, and costs less than asking for it
        try:
            if curve is not None:
                if len(signature) != 2 * curve.size:
                    raise JoseError(JOSE_SIGNATURE, f"the signature has {len(signature)} octets, not {2 * curve.size}")
                key.verify(_to_der(signature, curve.size), signing_input, curve.ecdsa)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, signing_input, _PKCS1, _SHA256)
            else:
                key.verify(signature, signing_input)
        except InvalidSignature:
            raise JoseError(JOSE_SIGNATURE) from None

    def verify_pss(self, algorithm: str, signing_input: bytes, signature: bytes) -> None:
        """The same for RSASSA-PSS, which :meth:`verify` does not take: ACME clients have no use for it."""
        hashed = _PSS_HASHES.get(algorithm)
        if hashed is None or not isinstance(self.public_key, rsa.RSAPublicKey):
            raise JoseError(JOSE_ALGORITHM, f"this key signs with {self.algorithm}")
        scheme = padding.PSS(mgf=padding.MGF1(hashed), salt_length=hashed.digest_size)
        try:
            self.public_key.verify(signature, signing_input, scheme, hashed)
        except InvalidSignature:
            raise JoseError(JOSE_SIGNATURE) from None

    @property
    def signature_size(self) -> int:
        """Octets of a signature by this key."""
        if isinstance(self.public_key, ec.EllipticCurvePublicKey):
            return 2 * _BY_OPENSSL_NAME[self.public_key.curve.name].size
        if isinstance(self.public_key, rsa.RSAPublicKey):
            return (self.public_key.key_size + 7) // 8
        return 64

    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs JWS. Make one with :meth:`generate`, or wrap a loaded key with :meth:`wrap`."""

    private_key: PrivateKey
    public: VerifyingKey

    @classmethod
    def wrap(cls, private_key: PrivateKey) -> SigningKey:
        """``private_key`` as a JWS signer. Raises JoseError for curves without a JWS algorithm."""
        return cls(private_key, VerifyingKey.from_public_key(private_key.public_key()))

    @classmethod
    def generate(cls, algorithm: str = "ES256") -> SigningKey:
        """A new key for ``algorithm`` (RSA: 2,048 bits)."""
        if algorithm == "RS256":
            return cls.wrap(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        if algorithm == "EdDSA":
            return cls.wrap(ed25519.Ed25519PrivateKey.generate())
        for curve in _CURVES:
            if curve.algorithm == algorithm:
                return cls.wrap(ec.generate_private_key(curve.curve))
        raise JoseError(JOSE_ALGORITHM, "unknown algorithm")

    def sign(self, signing_input: bytes) -> bytes:
        """The JWS signature octets over ``signing_input``."""
        key = self.private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            curve = _BY_OPENSSL_NAME[key.curve.name]
            r, s = decode_dss_signature(key.sign(signing_input, curve.ecdsa))
            return r.to_bytes(curve.size, "big") + s.to_bytes(curve.size, "big")
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(signing_input, _PKCS1, _SHA256)
        return key.sign(signing_input)


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 SHA-256 thumbprint, base64url, of a JWK that has exactly the required members, in any order."""
    members = ",".join([f'"{name}":"{jwk[name]}"' for name in sorted(jwk)])
    return b64url_encode(hashlib.sha256(b"{" + members.encode("ascii") + b"}").digest())


def _octets(value: object) -> bytes:
    if not isinstance(value, str):
        raise JoseError(JOSE_KEY, "a member of the JWK is missing or no string")
    return b64url_decode(value)


def _unsigned(value: object, limit: int) -> int:
    """A Base64urlUInt (RFC 7518, section 2) of at most ``limit`` octets."""
    octets = _octets(value)
    if octets[:1] == b"\x00":
        # A client that sends them hashes them too, and every one of its key authorizations would be wrong.
        raise JoseError(JOSE_KEY, "a number of the JWK has leading zero octets (RFC 7518, section 2)")
    if len(octets) > limit:
        # Bounded before any arithmetic: a megabyte of modulus would stall the process in OpenSSL.
        raise JoseError(JOSE_KEY, "a number of the JWK is too large")
    return int.from_bytes(octets, "big")


def _from_unsigned(value: int) -> str:
    return b64url_encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _ec_from_jwk(jwk: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    name = jwk.get("crv")
    curve = _BY_CURVE_NAME.get(name) if isinstance(name, str) else None
    if curve is None:
        raise JoseError(JOSE_KEY, "of the curves only P-256, P-384 and P-521 are known here")
    x, y = _octets(jwk.get("x")), _octets(jwk.get("y"))
    if len(x) != curve.size or len(y) != curve.size:
        raise JoseError(JOSE_KEY, f"a coordinate on {curve.name} has {curve.size} octets (RFC 7518, 6.2.1.2)")
    # OpenSSL checks that the point lies on the curve; NIST curves have no small subgroups.
    return ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, b"\x04" + x + y)


def _to_der(signature: bytes, size: int) -> bytes:
    """r ‖ s as the DER SEQUENCE of two INTEGERs that OpenSSL verifies."""
    body = _integer(signature[:size]) + _integer(signature[size:])
    return b"\x30" + (bytes((len(body),)) if len(body) < 128 else bytes((0x81, len(body)))) + body


def _integer(octets: bytes) -> bytes:
    octets = octets.lstrip(b"\x00")
    if not octets or octets[0] >= 0x80:
        octets = b"\x00" + octets
    return bytes((0x02, len(octets))) + octets
