"""Renewal information (RFC 9773) as both sides need it: how a certificate is named, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from cryptography import x509

from troth.client.errors import CERT_ID, JoseError
from troth.client.jose import b64url_decode, b64url_encode
from troth.kit.errors import TrothError

#: An AKI is a hash in practice; a serial number has at most 20 octets (RFC 5280, 4.1.2.2).
_LONGEST = 200


class RenewalInfo(msgspec.Struct, frozen=True):
    """When to renew.

    Attributes:
        start: with ``end``, the window in which a client picks a moment at random; a moment that is past means now.
        explanation_url: why the window is where it is, for people; empty if nothing is to be said.
        retry_after: seconds after which to ask again.
    """

    start: datetime
    end: datetime
    explanation_url: str = ""
    retry_after: float = 0.0


class _Window(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime


class _Told(msgspec.Struct, frozen=True, rename="camel"):
    suggested_window: _Window
    explanation_url: str = msgspec.field(default="", name="explanationURL")


def cert_id(certificate: x509.Certificate) -> str:
    """The name of ``certificate`` (RFC 9773, 4.1). Raises TrothError if it has no authority key identifier."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        raise TrothError(CERT_ID, "the certificate has no authority key identifier") from None
    key_id = extension.value.key_identifier
    if key_id is None:
        raise TrothError(CERT_ID, "the certificate's authority key identifier has no key identifier")
    return make_cert_id(key_id, certificate.serial_number)


def make_cert_id(key_id: bytes, serial: int) -> str:
    """The name of the certificate with this authority key identifier and serial number."""
    # The content octets of the INTEGER: a leading zero octet where the first bit is set (RFC 9773, 4.1).
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{b64url_encode(key_id)}.{b64url_encode(octets)}"


def parse_cert_id(text: str) -> tuple[bytes, int]:
    """Authority key identifier and serial number. Raises TrothError for what is no CertID.

    A serial number without the leading zero octet, as old acme.sh wrote it, is taken for the positive number that
    was meant: certificates have no negative ones.
    """
    if len(text) > _LONGEST:
        raise TrothError(CERT_ID, "it is too long")
    first, dot, second = text.partition(".")
    try:
        key_id, octets = b64url_decode(first), b64url_decode(second)
    except JoseError:
        raise TrothError(CERT_ID, "its parts are not base64url without padding") from None
    serial = int.from_bytes(octets, "big")
    if not dot or not key_id or serial == 0:
        raise TrothError(CERT_ID, "it is not KEY-IDENTIFIER.SERIAL")
    if len(octets) > 1 and octets[0] == 0 and octets[1] < 0x80:
        raise TrothError(CERT_ID, "the serial number has more leading zero octets than DER allows")
    return key_id, serial


def parse_renewal_info(body: bytes, retry_after: float) -> RenewalInfo:
    """What a server said. Raises TrothError for anything but a window that ends after it starts."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrothError(CERT_ID, f"the answer is no renewal information: {error}") from error
    start, end = told.suggested_window.start, told.suggested_window.end
    if start.tzinfo is None or end.tzinfo is None or end <= start:
        raise TrothError(CERT_ID, "the suggested window is no window")
    return RenewalInfo(start.astimezone(UTC), end.astimezone(UTC), told.explanation_url, retry_after)
