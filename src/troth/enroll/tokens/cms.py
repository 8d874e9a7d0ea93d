"""CMS SignedData (RFC 5652, section 5) with its content inside and one signer, as clouds sign their documents.

Clouds write BER with indefinite lengths, which our reader refuses; :func:`definite` rewrites it once, within bounds.
The signature is checked under a key that the caller chose: whose it is, is the caller's question.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from troth.enroll.tokens.errors import TOKEN_MALFORMED, TOKEN_SIGNATURE, TokenRefused
from troth.pki import der

MAX_BYTES = 32_768
_DEPTH, _ELEMENTS = 16, 4000
_SIGNED_DATA, _DATA = "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.1"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A document with its signature, not believed before :meth:`verify`.

    Attributes:
        certificates: that were sent along, DER.
        issuer, serial: of the signer's certificate, as the signer names it; None where it names a key instead.
    """

    content: bytes
    certificates: tuple[bytes, ...]
    issuer: bytes | None
    serial: int | None
    hashed: hashes.HashAlgorithm
    signed_attributes: bytes | None
    signature: bytes

    def signed_by(self, certificate: x509.Certificate) -> bool:
        """Whether the signer names this certificate."""
        return certificate.serial_number == self.serial and certificate.issuer.public_bytes() == self.issuer

    def verify(self, certificate: x509.Certificate) -> None:
        """Hold the signature against the key of ``certificate``. Raises TokenRefused."""
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
            raise TokenRefused(TOKEN_SIGNATURE, "the signer's key is no RSA key of 2,048 bits or more")
        signed = self.content if self.signed_attributes is None else self.signed_attributes
        try:
            key.verify(self.signature, signed, padding.PKCS1v15(), self.hashed)
        except InvalidSignature as error:
            raise TokenRefused(TOKEN_SIGNATURE, "the signature does not fit the document") from error


def parse(text: str) -> Signed:
    """The document in base64, with or without line ends and PEM's frame. Raises TokenRefused."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("-----")]
    try:
        data = base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenRefused(TOKEN_MALFORMED, "it is no base64") from error
    try:
        return _signed(definite(data))
    except der.DerError as error:
        raise TokenRefused(TOKEN_MALFORMED, f"it is no CMS SignedData: {error}") from error


def _signed(data: bytes) -> Signed:
    outer = der.Reader(data).enter(der.SEQUENCE)
    if der.read_oid(outer.read(der.OID)) != _SIGNED_DATA:
        raise der.DerError("another content type")
    body = outer.enter(0xA0).enter(der.SEQUENCE)
    body.read(der.INTEGER)
    body.read(der.SET)
    inner = body.enter(der.SEQUENCE)
    if der.read_oid(inner.read(der.OID)) != _DATA:
        raise der.DerError("another inner content type")
    content = inner.enter(0xA0).read(der.OCTET_STRING)
    certificates = []
    if body.peek() == 0xA0:
        listed = body.enter(0xA0)
        while not listed.empty:
            certificates.append(listed.whole())
    body.take(0xA1)
    signers = body.enter(der.SET)
    signer = signers.enter(der.SEQUENCE)
    signers.close()
    return _signer(signer, content, tuple(certificates))


def _signer(signer: der.Reader, content: bytes, certificates: tuple[bytes, ...]) -> Signed:
    signer.read(der.INTEGER)
    issuer: bytes | None = None
    serial: int | None = None
    if signer.peek() == der.SEQUENCE:
        named = signer.enter(der.SEQUENCE)
        issuer, serial = named.whole(), der.read_integer(named.read(der.INTEGER))
    else:
        signer.read(0x80)
    dotted = der.read_oid(signer.enter(der.SEQUENCE).read(der.OID))
    hashed = _HASHES.get(dotted)
    if hashed is None:
        raise TokenRefused(TOKEN_SIGNATURE, f"the digest algorithm {dotted} is not accepted")
    attributes = signer.whole() if signer.peek() == 0xA0 else None
    signer.read(der.SEQUENCE)  # signatureAlgorithm: RSA with whatever parameters; the key says which
    signature = signer.read(der.OCTET_STRING)
    if attributes is not None:
        # Section 5.4: what is signed is the SET OF, not the [0] that stands in its place.
        attributes = bytes((der.SET,)) + attributes[1:]
        _check_attributes(attributes, content, hashed)
    return Signed(content, certificates, issuer, serial, hashed, attributes, signature)


def _check_attributes(attributes: bytes, content: bytes, hashed: hashes.HashAlgorithm) -> None:
    """Section 11: the content's type and digest, each once, each with one value. Raises TokenRefused."""
    found: dict[str, bytes] = {}
    listed = der.Reader(attributes).enter(der.SET)
    while not listed.empty:
        one = listed.enter(der.SEQUENCE)
        name, values = der.read_oid(one.read(der.OID)), one.enter(der.SET)
        if name in found:
            raise der.DerError("an attribute stands there twice")
        found[name] = values.whole()
        if name in (_CONTENT_TYPE, _MESSAGE_DIGEST):
            values.close()
    digest = hashlib.new(hashed.name, content).digest()
    if found.get(_MESSAGE_DIGEST) != der.octets(digest) or found.get(_CONTENT_TYPE) != der.oid(_DATA):
        raise TokenRefused(TOKEN_SIGNATURE, "the signed attributes are about another document")


def definite(data: bytes) -> bytes:
    """BER as DER's lengths: indefinite lengths resolved, strings in pieces joined. Raises DerError.

    Contents are not touched; what is definite and minimal already comes out octet for octet.
    """
    if len(data) > MAX_BYTES:
        raise der.DerError("too long")
    whole = _Ber(data)
    made = whole.element(0)
    if whole.at != len(data):
        raise der.DerError("trailing bytes")
    return made


class _Ber:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self._count = 0

    def element(self, depth: int) -> bytes:
        self._count += 1
        if depth > _DEPTH or self._count > _ELEMENTS:
            raise der.DerError("nested too deeply, or too many elements")
        tag, size = self._take(1)[0], self._take(1)[0]
        if tag & 0x1F == 0x1F:
            raise der.DerError("tag number above 30")
        if size == 0x80:
            if not tag & 0x20:
                raise der.DerError("a primitive of indefinite length")
            parts = []
            while self._data[self.at : self.at + 2] != b"\x00\x00":
                parts.append(self.element(depth + 1))
            self.at += 2
        else:
            length = size
            if size & 0x80:
                length = int.from_bytes(self._take(size & 0x7F), "big")
            end = self.at + length
            if end > len(self._data):
                raise der.DerError("content longer than what holds it")
            if not tag & 0x20:
                return der.tlv(tag, self._take(length))
            parts = []
            while self.at < end:
                parts.append(self.element(depth + 1))
            if self.at != end:
                raise der.DerError("an element reaches over its end")
        if tag == 0x24:
            # An octet string in pieces (X.690, 8.7.3) is one octet string.
            return der.tlv(der.OCTET_STRING, b"".join(der.Reader(part).read(der.OCTET_STRING) for part in parts))
        return der.tlv(tag, b"".join(parts))

    def _take(self, length: int) -> bytes:
        taken = self._data[self.at : self.at + length]
        if len(taken) != length:
            raise der.DerError("cut short")
        self.at += length
        return taken
