"""EST's bodies: base64 both ways (RFC 8951, 3.1), certs-only messages (RFC 8551, 3.8), two parts for a made key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from troth.enroll.est.errors import REQUEST_MALFORMED, EstRefused
from troth.pki import der
from troth.pki.csr import MAX_BYTES

#: Base64 with a line end after every few characters is the worst that is read.
MAX_BODY = MAX_BYTES * 2
CERTS_ONLY = b"application/pkcs7-mime; smime-type=certs-only"
_SPACE = b" \t\r\n"
_SIGNED_DATA, _DATA = der.oid("1.2.840.113549.1.7.2"), der.oid("1.2.840.113549.1.7.1")


def decoded(body: bytes) -> bytes:
    """The DER in a request's body, whatever Content-Transfer-Encoding says: it is base64, white space allowed.

    Raises EstRefused.
    """
    if len(body) > MAX_BODY:
        raise EstRefused(REQUEST_MALFORMED, f"more than {MAX_BODY:,} octets")
    try:
        found = base64.b64decode(body.translate(None, _SPACE), validate=True)
    except binascii.Error as error:
        raise EstRefused(REQUEST_MALFORMED, "not base64") from error
    if not found:
        raise EstRefused(REQUEST_MALFORMED, "the body is empty")
    return found


def encoded(data: bytes, *, lines: bool = False) -> bytes:
    """``data`` in base64, on one line as RFC 8951, 3.1 has it, or in the ``lines`` of RFC 7030's time.

    strongSwan 5.9.8 reads the first alone; libest, which is in much network gear, the second alone.
    """
    return base64.encodebytes(data) if lines else base64.b64encode(data) + b"\n"


def certs_only(certificates: Iterable[bytes]) -> bytes:
    """DER of a CMS SignedData with certificates, no content and no signers (RFC 5652, 5.1).

    In the order of DER (X.690, 11.6): pyca/cryptography warns that it will read no other.
    """
    empty = der.tlv(der.SET, b"")
    signed = der.sequence(
        der.integer(1), empty, der.sequence(_DATA), der.explicit(0, b"".join(sorted(certificates))), empty
    )  # fmt: skip
    return der.sequence(_SIGNED_DATA, der.explicit(0, signed))


def key_and_certificate(key: bytes, certificate: bytes, boundary: bytes, *, lines: bool = False) -> bytes:
    """The two parts of a serverkeygen answer (RFC 7030, 4.4.2): PKCS#8, then certs-only; ``boundary`` in neither."""
    parts = ((b"application/pkcs8", key), (CERTS_ONLY, certs_only((certificate,))))
    written = [b"--" + boundary]
    for kind, content in parts:
        text = encoded(content, lines=lines).rstrip()
        written += [b"Content-Type: " + kind, b"Content-Transfer-Encoding: base64", b"", text, b"--" + boundary]
    return b"\r\n".join(written) + b"--\r\n"
