"""Keys and signing requests made at the caller's end."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def new_key(kind: Literal["p256", "p384", "rsa3072", "ed25519"]) -> tuple[PrivateKey, bytes]:
    """A fresh key, and its PKCS#8 PEM."""
    key: PrivateKey
    if kind == "rsa3072":
        key = rsa.generate_private_key(65537, 3072)
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())
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
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
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
