"""Keys and signing requests made at the caller's end."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

Mldsa = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | Mldsa
Kind = Literal["p256", "p384", "rsa3072", "ed25519", "mldsa44", "mldsa65", "mldsa87"]

_MAKE: Mapping[Kind, Callable[[], PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
    "mldsa87": mldsa.MLDSA87PrivateKey.generate,
}


def new_key(kind: Kind) -> tuple[PrivateKey, bytes]:
    """A fresh key, and its PKCS#8 PEM."""
    key = _MAKE[kind]()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key, encoded


def new_request(key: PrivateKey, names: Sequence[str]) -> str:
    """A PKCS#10 request in PEM, signed with ``key``: it proves possession and asks for ``names``, nothing else."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        asked = x509.SubjectAlternativeName([general_name(name) for name in names])
        builder = builder.add_extension(asked, critical=False)
    algorithm = None if isinstance(key, (ed25519.Ed25519PrivateKey, *get_args(Mldsa))) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def general_name(text: str) -> x509.GeneralName:
    """``text`` as the kind of name it looks like: IP address, URI, mail address, else DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "://" in text or text.startswith("urn:"):
        return x509.UniformResourceIdentifier(text)
    return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)
