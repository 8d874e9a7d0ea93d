"""SPIFFE IDs (SPIFFE-ID, section 2; X509-SVID, sections 2 and 4)."""

from __future__ import annotations

import re

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z")


def is_spiffe_id(uri: str) -> bool:
    """Whether ``uri`` names a workload: a trust domain and a path, without port, user, query, dots or escapes."""
    if not uri.startswith("spiffe://") or len(uri) > 2048:
        return False
    domain, slash, path = uri.removeprefix("spiffe://").partition("/")
    segments = path.split("/")
    return (
        bool(slash)
        and _TRUST_DOMAIN.match(domain) is not None
        and all(_SEGMENT.match(segment) and segment not in (".", "..") for segment in segments)
    )
