"""What a device sent: ``attObj`` (draft-ietf-acme-device-attest-09, section 5), read strictly and opened no further.

``authData`` is accepted and ignored, as are members that are not known. What a person gives for inspection may also be
the JSON of a challenge's answer, or a PEM chain, of which the first certificate attests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from troth.client.errors import JoseError
from troth.client.jose import b64url_decode
from troth.enroll.attest import cbor
from troth.enroll.attest.errors import EMPTY, MALFORMED, Unreadable
from troth.enroll.attest.model import ANDROID_KEY, APPLE, STEP, TPM

#: Certificates in x5c: the longest real chain (Android, provisioned remotely) has six.
MAX_CERTIFICATES = 10
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that could be read.

    Attributes:
        format: ``fmt``, whether it is understood or not.
        members: ``attStmt``.
        chain: ``x5c`` in DER, in the order that was sent; the first attests.
        certificates: the same, read.
        sha256: of the CBOR, in hexadecimal.
    """

    format: str
    members: Mapping[str, cbor.Value]
    chain: tuple[bytes, ...]
    certificates: tuple[x509.Certificate, ...]
    sha256: str

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that attests."""
        return self.certificates[0]


def read_attestation(data: bytes) -> Statement:
    """The statement that ``data`` (CBOR) is. Raises Unreadable."""
    try:
        outer = cbor.decode(data)
    except cbor.CborError as error:
        raise Unreadable(MALFORMED, f"CBOR: {error}") from None
    if not isinstance(outer, dict):
        raise Unreadable(MALFORMED, "not a map")
    if not outer:
        raise Unreadable(EMPTY, "the attestation object is empty")
    kind, members = outer.get("fmt"), outer.get("attStmt")
    if not isinstance(kind, str) or not 0 < len(kind) <= 32 or not kind.isprintable():
        raise Unreadable(MALFORMED, "fmt is no text of 1 to 32 printable characters")
    if not isinstance(members, dict):
        raise Unreadable(MALFORMED, "attStmt is no map")
    chain = members.get("x5c", [])
    if not isinstance(chain, list) or not all(isinstance(one, bytes) for one in chain):
        raise Unreadable(MALFORMED, "x5c is no list of byte strings")
    return _statement(kind, members, tuple(one for one in chain if isinstance(one, bytes)), hashlib.sha256(data))


def read_encoded(text: object) -> Statement:
    """As :func:`read_attestation`, from the ``attObj`` member: base64url without padding. Raises Unreadable."""
    if not isinstance(text, str):
        raise Unreadable(MALFORMED, "attObj is no text")
    if text in ("", "e30"):  # "{}" in base64url: what Apple's client sends when it was given nothing
        raise Unreadable(EMPTY, "the device obtained no attestation")
    if len(text) > cbor.MAX_BYTES * 4 // 3 + 4:
        raise Unreadable(MALFORMED, f"attObj is longer than {cbor.MAX_BYTES:,} bytes")
    try:
        data = b64url_decode(text)
    except JoseError:
        raise Unreadable(MALFORMED, "attObj is not base64url without padding") from None
    return read_attestation(data)


def read_any(data: bytes) -> Statement:
    """What a person has: JSON that holds it, the base64url, the CBOR itself, or PEM. Raises Unreadable.

    JSON is a challenge's answer, the signed request around one, or what a browser says of a registration (WebAuthn).
    A PEM chain has no statement around it: it is taken for what its first certificate can be, Apple's or YubiKey's.
    """
    if len(data) > 2 * cbor.MAX_BYTES:
        raise Unreadable(MALFORMED, f"longer than {2 * cbor.MAX_BYTES:,} bytes")
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        return read_attestation(data)
    if "-----BEGIN CERTIFICATE-----" in text:
        return _pem(text)
    if text.startswith("{"):
        return read_encoded(_within(text))
    return read_encoded("".join(text.split()).rstrip("="))


def _within(text: str) -> object:
    """The base64url in JSON. Raises Unreadable."""
    found: object = text
    for _ in range(2):  # a signed request has an answer inside
        try:
            found = json.loads(found) if isinstance(found, str) else found
        except (ValueError, RecursionError):
            raise Unreadable(MALFORMED, "not JSON") from None
        if not isinstance(found, dict):
            break
        inner = found.get("response")
        for holder in (found, inner if isinstance(inner, dict) else {}):
            for name in ("attObj", "attestationObject"):
                if name in holder:
                    return holder[name]
        if not isinstance(found.get("payload"), str):
            break
        try:
            found = b64url_decode(found["payload"]).decode("utf-8")
        except (JoseError, UnicodeDecodeError):
            raise Unreadable(MALFORMED, "the payload is no base64url of JSON") from None
    raise Unreadable(EMPTY if found == {} else MALFORMED, "JSON without attObj")


def _pem(text: str) -> Statement:
    chain = []
    for block in _PEM.findall(text):
        try:
            chain.append(base64.b64decode("".join(block.split()), validate=True))
        except ValueError:
            raise Unreadable(MALFORMED, "a PEM block is not base64") from None
    found = _statement(STEP, {}, tuple(chain), hashlib.sha256(b"".join(chain)))
    if not found.certificates:
        raise Unreadable(MALFORMED, "no certificate in the PEM")
    return Statement(_kind_of(found.leaf), {}, found.chain, found.certificates, found.sha256)


def _kind_of(leaf: x509.Certificate) -> str:
    try:
        oids = [one.oid.dotted_string for one in leaf.extensions]
    except ValueError:
        return STEP
    if any(oid.startswith("1.2.840.113635.100.8.") for oid in oids):
        return APPLE
    if "1.3.6.1.4.1.11129.2.1.17" in oids:
        return ANDROID_KEY
    return TPM if "2.23.133.8.3" in _purposes(leaf) else STEP


def _purposes(leaf: x509.Certificate) -> list[str]:
    try:
        return [one.dotted_string for one in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
    except (ValueError, x509.ExtensionNotFound):
        return []


def _statement(
    kind: str, members: Mapping[str, cbor.Value], chain: tuple[bytes, ...], digest: hashlib._Hash
) -> Statement:
    if len(chain) > MAX_CERTIFICATES:
        raise Unreadable(MALFORMED, f"more than {MAX_CERTIFICATES} certificates")
    certificates = []
    for depth, one in enumerate(chain):
        try:
            certificate = x509.load_der_x509_certificate(one)
            # Read now what is read lazily: a name or an extension that is broken makes the certificate unreadable.
            _ = (certificate.subject, certificate.issuer, certificate.not_valid_after_utc, certificate.serial_number)
            certificate.public_key()
            list(certificate.extensions)
        except Exception as error:
            # By version and defect this is ValueError, TypeError, UnsupportedAlgorithm or an internal parse error.
            raise Unreadable(MALFORMED, f"certificate {depth} cannot be read") from error
        certificates.append(certificate)
    return Statement(kind, members, chain, tuple(certificates), digest.hexdigest())
