"""What is served as it lies there: the newest CRL of each authority and the authorities' certificates.

Made into whole answers once, when something changed; a request then costs a dictionary look-up. A CRL is served past
its nextUpdate, too: a relying party sees for itself that it is stale, and a 404 would tell it less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from troth.kit.clock import to_seconds
from troth.kit.lane import Request, Response
from troth.pki.authorities import Authority, chain_of
from troth.pki.authority_store import AuthorityStore
from troth.pki.pem import pem, pem_chain
from troth.status.model import CrlHead
from troth.status.store import StatusReader
from troth.store.unit import Reader

CRL_TYPE = b"application/pkix-crl"
CERTIFICATE_TYPE = b"application/pkix-cert"
PEM_TYPE = b"application/pem-certificate-chain"

#: A CRL may be new at any second; an authority's certificate never changes under its name.
_REVALIDATE = b"public, no-cache, no-transform"
_A_DAY = b"public, max-age=86400, no-transform"


def http_date(moment: datetime) -> bytes:
    """IMF-fixdate (RFC 9110, 5.6.7)."""
    return format_datetime(to_seconds(moment.astimezone(UTC)), usegmt=True).encode()


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes ready to send, with their validators (RFC 9110, 8.8)."""

    body: bytes
    etag: bytes
    modified: datetime
    headers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def make(cls, body: bytes, kind: bytes, modified: datetime, caching: bytes) -> Document:
        """A document of content type ``kind``; ``caching`` is its Cache-Control."""
        etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
        headers = (
            (b"content-type", kind),
            (b"etag", etag),
            (b"last-modified", http_date(modified)),
            (b"cache-control", caching),
            (b"x-content-type-options", b"nosniff"),
        )
        return cls(body, etag, to_seconds(modified), headers)

    def answer(self, request: Request) -> Response:
        """The document, or 304 when the client has it."""
        if self._known_to(request.headers):
            return Response(304, b"", self.headers[1:])
        return Response(200, self.body, self.headers)

    def _known_to(self, headers: Mapping[str, str]) -> bool:
        tags = headers.get("if-none-match")
        if tags is not None:
            # Weak comparison (RFC 9110, 13.1.2), and If-Modified-Since does not count beside it (13.1.3).
            listed = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
            return "*" in listed or self.etag.decode() in listed
        since = headers.get("if-modified-since")
        if since is None:
            return False
        try:
            moment = parsedate_to_datetime(since)
        except ValueError:
            return False
        return self.modified <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC))


class Published:
    """The newest of everything, in memory; ``refresh`` reads what changed."""

    def __init__(self, reader: Reader) -> None:
        self._authorities_store = AuthorityStore(reader)
        self._status = StatusReader(reader)
        self._authorities: Mapping[str, Authority] = {}
        self._heads: dict[str, CrlHead] = {}
        self._crls: dict[str, Document] = {}
        self._documents: dict[str, Document] = {}

    @property
    def authorities(self) -> Mapping[str, Authority]:
        """All authorities by slug."""
        return self._authorities

    def crl(self, slug: str) -> Document | None:
        """The newest CRL of an authority."""
        return self._crls.get(slug)

    def certificate(self, name: str) -> Document | None:
        """A document of certificates by its name below ``/``: ``ca/issuing.cer``, ``root.pem``."""
        return self._documents.get(name)

    def crl_age(self, slug: str, now: datetime) -> timedelta | None:
        """How long ago the newest CRL was made."""
        head = self._heads.get(slug)
        return None if head is None else now - head.this_update

    async def refresh(self) -> None:
        """Read again. Raises StoreError; what was there then stays."""
        authorities = {one.slug: one for one in await self._authorities_store.authorities()}
        if authorities != self._authorities:
            self._documents = _certificate_documents(authorities)
            self._authorities = authorities
        await self.refresh_crls()

    async def refresh_crls(self) -> None:
        """Read the CRLs that are newer than those at hand."""
        for head in await self._status.newest_crls():
            present = self._heads.get(head.authority)
            if present is None or present.number < head.number:
                body = await self._status.crl_bytes(head)
                self._crls[head.authority] = Document.make(body, CRL_TYPE, head.this_update, _REVALIDATE)
                self._heads[head.authority] = head


def _certificate_documents(authorities: Mapping[str, Authority]) -> dict[str, Document]:
    documents = {}
    for slug, authority in authorities.items():
        made = authority.created_at
        # A root ends every chain, its own too; a client that asks for it wants to see it.
        chain = chain_of(slug, authorities) or (authority.certificate,)
        documents[f"ca/{slug}.cer"] = Document.make(authority.certificate, CERTIFICATE_TYPE, made, _A_DAY)
        documents[f"ca/{slug}.pem"] = Document.make(pem(authority.certificate), PEM_TYPE, made, _A_DAY)
        documents[f"ca/{slug}/chain.pem"] = Document.make(pem_chain(chain), PEM_TYPE, made, _A_DAY)
    roots = [one for one in authorities.values() if one.kind == "root" and one.state != "planned"]
    if roots:
        newest = max(root.created_at for root in roots)
        body = pem_chain(root.certificate for root in roots)
        documents["root.pem"] = Document.make(body, PEM_TYPE, newest, _REVALIDATE)
    return documents
