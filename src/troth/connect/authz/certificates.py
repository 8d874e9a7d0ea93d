"""What proxies say of a client's certificate: nginx's escaped PEM, and Envoy's ``x-forwarded-client-cert``.

They say it on behalf of a client whose handshake they have seen, so it is believed of an application that has proved
who it is and of nobody else. All that is taken is the certificate's SHA-256: what stands *in* it the records know
better.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from troth.connect.authz.errors import MALFORMED, AuthzError

MAX_HEADER = 32_768

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,32000}?)-----END CERTIFICATE-----")
_HASH = re.compile(r"[0-9a-fA-F]{64}\Z")


def shown(headers: Mapping[str, str]) -> bytes | None:
    """SHA-256 of the certificate that the proxy's headers tell of; None if they tell of none. Raises AuthzError.

    Both kinds at once must tell of the same one. ``x-ssl-client-verify`` (nginx: ``$ssl_client_verify``) must say
    SUCCESS where it is there: nginx passes on a certificate that it could not verify as well.
    """
    verified = headers.get("x-ssl-client-verify", "")
    if verified == "NONE" and not headers.get("x-ssl-client-cert"):
        return None
    if verified not in ("", "SUCCESS"):
        raise AuthzError(MALFORMED, "the proxy could not verify the client's certificate")
    told = (
        _escaped(headers.get("x-ssl-client-cert", "")),
        _forwarded(headers.get("x-forwarded-client-cert", "")),
    )
    found = [digest for digest in told if digest is not None]
    if len(set(found)) > 1:
        raise AuthzError(MALFORMED, "the proxy tells of two certificates")
    return found[0] if found else None


def from_pem(text: bytes) -> bytes:
    """SHA-256 of the first certificate in ``text``. Raises AuthzError."""
    found = _PEM.search(text)
    if found is None:
        raise AuthzError(MALFORMED, "there is no certificate in it")
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error as error:
        raise AuthzError(MALFORMED, "the certificate is not base64") from error
    return hashlib.sha256(der).digest()


def from_hash(text: str) -> bytes:
    """A SHA-256 in hexadecimal, with colons or without. Raises AuthzError."""
    plain = text.replace(":", "")
    if not _HASH.match(plain):
        raise AuthzError(MALFORMED, "a SHA-256 in hexadecimal was expected")
    return bytes.fromhex(plain)


def _escaped(value: str) -> bytes | None:
    if not value:
        return None
    if len(value) > MAX_HEADER:
        raise AuthzError(MALFORMED, "the header with the certificate is too long")
    return from_pem(unquote_to_bytes(value))


def _forwarded(value: str) -> bytes | None:
    """Of several proxies in a row the last entry is that of the one which asks (Envoy appends)."""
    if not value:
        return None
    if len(value) > MAX_HEADER:
        raise AuthzError(MALFORMED, "x-forwarded-client-cert is too long")
    pairs = _pairs(_split(value, ",")[-1])
    told = [from_hash(pairs["hash"])] if "hash" in pairs else []
    told += [from_pem(unquote_to_bytes(pairs["cert"]))] if "cert" in pairs else []
    if len(set(told)) > 1:
        raise AuthzError(MALFORMED, "hash and certificate are not the same")
    return told[0] if told else None


def _pairs(element: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _split(element, ";"):
        name, equals, value = part.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not equals:
            raise AuthzError(MALFORMED, "x-forwarded-client-cert is no list of name=value")
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if name in found and name in ("hash", "cert"):
            raise AuthzError(MALFORMED, f"{name} stands in x-forwarded-client-cert twice")
        found[name] = value
    return found


def _split(text: str, separator: str) -> list[str]:
    """At each ``separator`` outside of double quotes."""
    parts, start, quoted, escaped = [], 0, False, False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(text[start:place])
            start = place + 1
    if quoted:
        raise AuthzError(MALFORMED, "a quotation in x-forwarded-client-cert does not end")
    return [*parts, text[start:]]
