"""Platforms that give out tokens: an OpenID Connect issuer, AWS and Azure, each as its documents say it speaks."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    from troth.client.jose import SigningKey
    from troth.kit.http import Answer

ISSUER = "https://token.actions.test"
AUDIENCE = "troth"


@lru_cache(maxsize=8)
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """An RSA key of 2,048 bits; the same for the same number, since making one costs."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048)


class OidcPlatform:
    """An issuer with rotating keys; also the HTTP client that reaches it.

    Attributes:
        fails: every request fails with this. requests: URLs that were asked for.
    """

    def __init__(self, issuer: str = ISSUER) -> None:
        from troth.client.jose import SigningKey

        self.issuer = issuer
        self.keys: dict[str, SigningKey] = {"k1": SigningKey.wrap(rsa_key())}
        self.fails: Exception | None = None
        self.requests: list[str] = []
        self.answers: dict[str, bytes] = {}

    def jwks(self) -> bytes:
        """The set as it is now."""
        return json.dumps(
            {"keys": [{**key.public.jwk, "kid": kid, "use": "sig"} for kid, key in self.keys.items()]}
        ).encode()

    async def request(self, method: str, url: str) -> Answer:
        from troth.kit.http import Answer

        self.requests.append(url)
        if self.fails is not None:
            raise self.fails
        if url in self.answers:
            return Answer(200, {}, self.answers[url])
        if url == f"{self.issuer}/.well-known/openid-configuration":
            return Answer(200, {}, json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode())
        return Answer(200, {}, self.jwks()) if url == f"{self.issuer}/keys" else Answer(404, {}, b"")

    def claims(self, now: datetime, **more: Any) -> dict[str, Any]:
        """A job's token, five minutes long; None leaves a claim out."""
        at = int(now.timestamp())
        made = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": "repo:org/shop:ref:refs/heads/main", "jti": f"jti-{at}",
            "iat": at, "nbf": at, "exp": at + 300, "repository": "org/shop", "ref": "refs/heads/main",
            "environment": "production",
        }  # fmt: skip
        return {name: value for name, value in (made | more).items() if value is not None}

    def token(
        self, claims: Mapping[str, Any], *, kid: str | None = "k1", key: SigningKey | None = None, **head: Any
    ) -> str:
        """``claims`` signed."""
        from troth.client.jose import b64url_encode

        signer = key or self.keys[kid or "k1"]
        header = {"alg": signer.public.algorithm, "typ": "JWT", "kid": kid} | head
        header = {name: value for name, value in header.items() if value is not None}
        start = ".".join(b64url_encode(json.dumps(one).encode()) for one in (header, claims))
        return f"{start}.{b64url_encode(signer.sign(start.encode()))}"


def cloud_certificate(
    key: rsa.RSAPrivateKey, name: str, now: datetime, *,
    issuer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None, ca: bool = False,
) -> x509.Certificate:  # fmt: skip
    """A certificate for ``name``: a root, an authority or a server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def signed_document(
    content: bytes, certificate: x509.Certificate, key: rsa.RSAPrivateKey, *more: x509.Certificate, send: bool = True,
    hashed: Any = None,
) -> bytes:  # fmt: skip
    """CMS SignedData with ``content`` inside, DER."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashed or hashes.SHA256())
    for one in more:
        builder = builder.add_certificate(one)
    options = [pkcs7.PKCS7Options.Binary]
    if not send:
        options.append(pkcs7.PKCS7Options.NoCerts)
    return builder.sign(Encoding.DER, options)


def indefinite(der: bytes) -> bytes:
    """``der`` as Java's libraries write it: indefinite lengths, octet strings in pieces."""
    tag, at = der[0], 2
    size = der[1]
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    body = der[at : at + size]
    if tag in (0x30, 0xA0) and der[:1] != b"\x31":
        parts, rest = b"", body
        while rest:
            length = _whole(rest)
            inner = rest[:length]
            parts += inner if inner[0] in (0x31, 0xA1) else indefinite(inner)
            rest = rest[length:]
        return bytes((tag, 0x80)) + parts + b"\x00\x00"
    if tag == 0x04 and len(body) > 8:
        half = len(body) // 2
        pieces = b"".join(b"\x04" + _length(len(one)) + one for one in (body[:half], body[half:]))
        return b"\x24\x80" + pieces + b"\x00\x00"
    return der[: at + size]


def _whole(data: bytes) -> int:
    size = data[1]
    if not size & 0x80:
        return 2 + size
    count = size & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def _length(size: int) -> bytes:
    return bytes((size,)) if size < 0x80 else bytes((0x82, size >> 8, size & 0xFF))


def aws_document(now: datetime, **more: Any) -> bytes:
    """An instance identity document as the metadata service gives it."""
    return json.dumps(
        {"accountId": "123456789012", "architecture": "x86_64", "imageId": "ami-1", "instanceId": "i-0123456789abcdef0",
         "instanceType": "t3.micro", "pendingTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "privateIp": "10.0.0.1",
         "region": "eu-central-1", "version": "2017-09-30"} | more
    ).encode()  # fmt: skip


def azure_document(now: datetime, **more: Any) -> bytes:
    """An attested document as the metadata service gives it."""
    form = "%m/%d/%y %H:%M:%S -0000"
    stamp = {"createdOn": now.strftime(form), "expiresOn": (now + timedelta(hours=6)).strftime(form)}
    return json.dumps(
        {"nonce": "1234567890", "plan": {"name": "", "product": "", "publisher": ""}, "timeStamp": stamp,
         "vmId": "d3e0e374-fda6-4649-bbc9-7f20dc379f34", "subscriptionId": "sub-1", "sku": "Standard"} | more
    ).encode()  # fmt: skip


def text(data: bytes) -> str:
    """In base64 with line ends, as AWS sends it."""
    return base64.encodebytes(data).decode()
