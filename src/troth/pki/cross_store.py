"""SQL of cross-certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509

from troth.store.statement import Claim
from troth.store.unit import Reader

ADD_CROSS = Claim(
    "cross_certificate_add",
    """WITH i AS (
           SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[],
               $7::timestamptz[], $8::text[]) AS t(n, sha256, authority, issuer, certificate, not_after, at, actor)
       ), w AS (
           INSERT INTO cross_certificate (sha256, authority, issuer, certificate, not_after, added_at, actor)
           SELECT sha256, authority, issuer, certificate, not_after, at, actor FROM i ON CONFLICT DO NOTHING
           RETURNING sha256
       ) SELECT i.n FROM i JOIN w USING (sha256)""",
    ("bytea", "text", "text", "bytea", "timestamptz", "timestamptz", "text"),
)
_ALL = """SELECT sha256, authority, issuer, certificate, not_after, added_at FROM cross_certificate
    ORDER BY added_at, sha256"""


@dataclass(frozen=True)
class CrossCertificate:
    """A second certificate of ``authority``'s key and name, issued by ``issuer``, both slugs."""

    sha256: bytes
    authority: str
    issuer: str
    certificate: bytes
    not_after: datetime
    added_at: datetime

    @cached_property
    def x509(self) -> x509.Certificate:
        """Parsed once."""
        return x509.load_der_x509_certificate(self.certificate)


class CrossStore:
    """Reading cross-certificates."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self) -> list[CrossCertificate]:
        """Oldest first."""
        return [CrossCertificate(**dict(row)) for row in await self._reader.fetch(_ALL)]
