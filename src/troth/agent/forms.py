"""The forms in which consumers read a certificate."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    NoEncryption,
    load_pem_private_key,
    pkcs12,
)

from troth.agent.errors import KEY_STAYS, AgentError
from troth.agent.keys.model import KeyAccess

#: Forms that hold the private key.
SECRET = frozenset({"key", "bundle", "pkcs12"})


def leaf_of(chain: str) -> str:
    """The first certificate of a PEM chain."""
    end = "-----END CERTIFICATE-----"
    return chain[: chain.index(end) + len(end)] + "\n"


def render(form: str, chain: str, access: KeyAccess, *, name: str = "", password: bytes = b"") -> bytes:
    """The octets of ``form``. Raises AgentError if the key cannot be in it."""
    leaf = leaf_of(chain)
    rest = chain[len(leaf) :]
    match form:
        case "fullchain":
            return chain.encode()
        case "cert":
            return leaf.encode()
        case "chain":
            return rest.encode()
        case "key":
            return access.pem
    if not access.exportable:
        raise AgentError(KEY_STAYS, f"there is no {form} of a key that stays where it is held")
    if form == "bundle":
        return chain.encode() + access.pem
    return _pkcs12(leaf, rest, access, name, password)


def _pkcs12(leaf: str, rest: str, access: KeyAccess, name: str, password: bytes) -> bytes:
    key = load_pem_private_key(access.pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise AgentError(KEY_STAYS, "this kind of key has no PKCS#12 form here")
    others = x509.load_pem_x509_certificates(rest.encode()) if rest else []
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(
        name.encode(), key, x509.load_pem_x509_certificate(leaf.encode()), others, encryption
    )
