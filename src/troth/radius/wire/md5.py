"""MD5 of short pieces, as RADIUS hides keys and passwords in: a dozen of forty octets for one Accept.

OpenSSL 3 looks its MD5 up anew for each of them, which takes as long as the sum itself. Python's own has no such
search; where a Python was built without it, OpenSSL's does. Beyond two hundred octets OpenSSL's is the better one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

try:
    from _md5 import md5 as _made  # type: ignore[import-not-found, unused-ignore]  # typeshed does not know it
except ImportError:  # pragma: no cover - a Python built without its own sums
    _made = None


def by_openssl(data: bytes) -> bytes:
    """MD5, by the library that is always there."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def _by_python(data: bytes) -> bytes:
    return bytes(_made(data).digest())


#: MD5 of what is given.
md5: Callable[[bytes], bytes] = by_openssl if _made is None else _by_python
