"""Keys that the server makes for clients that cannot (RFC 7030, 4.4). Made, handed over, and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from troth.enroll.est.errors import KEYGEN_UNSUPPORTED, EstRefused
from troth.enroll.est.request import EnrolRequest
from troth.pki.csr import SigningRequest
from troth.pki.keycheck import check_key

_Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_MAKE: Mapping[str, Callable[[], _Key]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
}


def with_made_key(request: EnrolRequest) -> tuple[EnrolRequest, bytes]:
    """``request`` for a new key of the kind of its own, and that key (DER PKCS#8). An RSA key takes its time.

    Each call makes another key, so it is another request: one whose answer was lost is not answered again, since the
    key is not kept. Raises EstRefused.
    """
    if request.wants_wrapping:
        # Section 4.4.1: whoever asks for encryption must get it or an error.
        raise EstRefused(KEYGEN_UNSUPPORTED, "the key is not wrapped under another one; TLS protects it")
    kind = request.key.key.kind
    if kind not in _MAKE:
        raise EstRefused(KEYGEN_UNSUPPORTED, f"keys of kind {kind} are not made here")
    key = _MAKE[kind]()
    checked = check_key(key.public_key())
    made = SigningRequest(checked, request.key.names, request.key.common_name, key.public_key())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return replace(request, der=request.der + checked.spki, key=made), private
