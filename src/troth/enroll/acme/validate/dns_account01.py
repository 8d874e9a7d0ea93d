"""dns-account-01 (draft-ietf-acme-dns-account-label-02): as dns-01, below a label that is the account's own.

Two accounts can then each publish a record for the same name, and each may leave it to a different DNS provider.
"""

from __future__ import annotations

import base64
import hashlib


def account_label(account_url: str) -> str:
    """``_`` and the first ten octets of the account URL's SHA-256 in lower-case base32."""
    digest = hashlib.sha256(account_url.encode("utf-8")).digest()[:10]
    return f"_{base64.b32encode(digest).decode('ascii').lower()}"
