"""PEM (RFC 7468), as every client reads it: 64 columns, LF, a newline after every block."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    """One block."""
    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    edge = label.encode()
    return b"-----BEGIN " + edge + b"-----\n" + b"\n".join(lines) + b"\n-----END " + edge + b"-----\n"


def pem_chain(certificates: Sequence[bytes]) -> bytes:
    """Certificates one after the other, in the order given (leaf first, RFC 8555, 9.1)."""
    return b"".join([*map(pem, certificates[:1]), *map(_issuer, certificates[1:])])


@lru_cache(maxsize=64)
def _issuer(certificate: bytes) -> bytes:
    """Of an authority's certificate, which stands below thousands of others."""
    return pem(certificate)
