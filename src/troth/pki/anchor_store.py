"""SQL of foreign trust anchors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509

from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader

ADD_ANCHOR = Claim(
    "trust_anchor_add",
    """WITH i AS (
           SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::bytea[], $5::jsonb[], $6::timestamptz[],
               $7::timestamptz[], $8::text[]) AS t(n, sha256, name, certificate, purposes, not_after, at, actor)
       ), w AS (
           INSERT INTO trust_anchor (sha256, name, certificate, purposes, not_after, added_at, actor)
           SELECT sha256, name, certificate, purposes, not_after, at, actor FROM i ON CONFLICT DO NOTHING
           RETURNING sha256
       ) SELECT i.n FROM i JOIN w USING (sha256)""",
    ("bytea", "text", "bytea", "jsonb", "timestamptz", "timestamptz", "text"),
)

ANCHOR_THERE = Guard(
    "trust_anchor_there",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[]) AS i(n, sha256)
       JOIN trust_anchor a ON a.sha256 = i.sha256 ORDER BY a.sha256 FOR UPDATE OF a""",
    ("bytea",),
)

REMOVE_ANCHOR = Write(
    "trust_anchor_remove",
    "DELETE FROM trust_anchor a USING unnest($1::bytea[]) AS i(sha256) WHERE a.sha256 = i.sha256",
    ("bytea",),
)
_ALL = """SELECT sha256, name, certificate, purposes, not_after, added_at, actor FROM trust_anchor
    ORDER BY added_at, sha256"""


@dataclass(frozen=True)
class TrustAnchor:
    """Somebody else's root. ``purposes``: extended key usages (``serverAuth`` …) that it is believed for."""

    sha256: bytes
    name: str
    certificate: bytes
    purposes: tuple[str, ...]
    not_after: datetime
    added_at: datetime
    actor: str

    @cached_property
    def x509(self) -> x509.Certificate:
        """Parsed once."""
        return x509.load_der_x509_certificate(self.certificate)


class AnchorStore:
    """Reading trust anchors."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self) -> list[TrustAnchor]:
        """Oldest first."""
        rows = await self._reader.fetch(_ALL)
        return [TrustAnchor(**dict(row) | {"purposes": tuple(json.loads(row["purposes"]))}) for row in rows]
