"""What is served as it lies there: the newest CRL of each authority and the authorities' certificates.

Made into whole answers once, when something changed; a request then costs a dictionary look-up. A CRL is served past
its nextUpdate, too: a relying party sees for itself that it is stale, and a 404 would tell it less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from troth.kit.clock import to_seconds
from troth.kit.lane import Request, Response
from troth.pki.authorities import Authority, chain_of
from troth.pki.authority_store import AuthorityStore
from troth.pki.crl_store import CrlStore
from troth.pki.cross_store import CrossCertificate, CrossStore
from troth.pki.model import Crl
from troth.pki.pem import pem, pem_chain
from troth.store.unit import Reader

CRL_TYPE = b"application/pkix-crl"
CERTIFICATE_TYPE = b"application/pkix-cert"
PEM_TYPE = b"application/pem-certificate-chain"
PKCS7_TYPE = b"application/pkcs7-mime; smime-type=certs-only"  # RFC 5751, 3.2.2
TEXT_TYPE = b"text/plain; charset=utf-8"

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
    more: tuple[bytes, ...] = ()

    @classmethod
    def make(cls, body: bytes, kind: bytes, modified: datetime, caching: bytes) -> Document:
        """A document of content type ``kind``; ``caching`` is its Cache-Control."""
        return cls.named(hashlib.sha256(body).digest(), (body,), kind, modified, caching)

    @classmethod
    def named(cls, name: bytes, parts: Sequence[bytes], kind: bytes, modified: datetime, caching: bytes) -> Document:
        """A document in several pieces that has a ``name`` of its own: a digest, of which the entity tag is made."""
        etag = b'"' + name.hex()[:32].encode() + b'"'
        headers = (
            (b"content-type", kind),
            (b"etag", etag),
            (b"last-modified", http_date(modified)),
            (b"cache-control", caching),
            (b"x-content-type-options", b"nosniff"),
        )
        return cls(parts[0], etag, to_seconds(modified), headers, tuple(parts[1:]))

    def answer(self, request: Request) -> Response:
        """The document, or 304 when the client has it."""
        if self._known_to(request.headers):
            return Response(304, b"", self.headers[1:])
        return Response(200, self.body, self.headers, self.more)

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
        self._authorities: Mapping[str, Authority] = {}
        self._crl_store = CrlStore(reader)
        self._crosses = CrossStore(reader)
        self._crossed: list[CrossCertificate] = []
        self._heads: dict[tuple[str, int, str], Crl] = {}
        self._crls: dict[str, Document] = {}
        self._chunks: dict[tuple[str, int], dict[UUID, bytes]] = {}
        self._documents: dict[str, Document] = {}

    @property
    def authorities(self) -> Mapping[str, Authority]:
        """All authorities by slug."""
        return self._authorities

    def crl(self, name: str) -> Document | None:
        """A newest CRL by its name below ``/crl/``: ``issuing.crl``, ``issuing/3.crl``, ``issuing/3-delta.crl``."""
        return self._crls.get(name)

    @property
    def crls(self) -> Collection[Crl]:
        """What is told of every CRL that is served, without its bytes."""
        return self._heads.values()

    def certificate(self, name: str) -> Document | None:
        """A document of certificates by its name below ``/``: ``ca/issuing.cer``, ``root.pem``."""
        return self._documents.get(name)

    async def refresh(self) -> None:
        """Read again. Raises StoreError; what was there then stays."""
        authorities = {one.slug: one for one in await self._authorities_store.authorities()}
        crosses = await self._crosses.all()
        if authorities != self._authorities or crosses != self._crossed:
            self._documents = _certificate_documents(authorities) | _cross_documents(crosses)
            self._authorities, self._crossed = authorities, crosses
        await self.refresh_crls()

    async def refresh_crls(self) -> None:
        """Read the CRLs that are newer than those at hand; of a large one, the pieces that are new."""
        for crl in await self._crl_store.published():
            present = self._heads.get((crl.authority, crl.shard, crl.kind))
            if present is None or present.number < crl.number:
                await self._take(crl)

    async def _take(self, crl: Crl) -> None:
        frame = await self._crl_store.frame(crl)
        if frame is None:
            return  # a newer one is there already, and its event on the way
        have = self._chunks.get((crl.authority, crl.shard), {})
        if crl.kind == "full":
            have = {chunk_id: have[chunk_id] for chunk_id in frame.chunks if chunk_id in have}
            async for chunk in self._crl_store.chunks([one for one in frame.chunks if one not in have]):
                have[chunk.id] = chunk.body
            if len(have) != len(frame.chunks):
                return
            self._chunks[crl.authority, crl.shard] = have
        parts = (frame.head, *(have[chunk_id] for chunk_id in frame.chunks), frame.tail)
        self._crls[crl_name(crl)] = Document.named(crl.sha256, parts, CRL_TYPE, crl.this_update, _REVALIDATE)
        self._heads[crl.authority, crl.shard, crl.kind] = crl


def crl_name(crl: Crl) -> str:
    """Where a CRL lies below ``/crl/``; the same as ``troth.pki.template.StatusUrls`` says in certificates."""
    if crl.kind == "delta":
        return f"{crl.authority}/{crl.shard}-delta.crl"
    return f"{crl.authority}/{crl.shard}.crl" if crl.shard else f"{crl.authority}.crl"


def _certificate_documents(authorities: Mapping[str, Authority]) -> dict[str, Document]:
    documents = {}
    for slug, authority in authorities.items():
        made = authority.created_at
        # A root ends every chain, its own too; a client that asks for it wants to see it.
        chain = chain_of(slug, authorities) or (authority.certificate,)
        documents[f"ca/{slug}.cer"] = Document.make(authority.certificate, CERTIFICATE_TYPE, made, _A_DAY)
        documents[f"ca/{slug}.pem"] = Document.make(pem(authority.certificate), PEM_TYPE, made, _A_DAY)
        documents[f"ca/{slug}/chain.pem"] = Document.make(pem_chain(chain), PEM_TYPE, made, _A_DAY)
    roots = [one for one in authorities.values() if one.kind == "root" and one.state in ("active", "retiring")]
    if roots:
        newest = max(root.created_at for root in roots)
        body = pem_chain([root.certificate for root in roots])
        documents["root.pem"] = documents["roots.pem"] = Document.make(body, PEM_TYPE, newest, _REVALIDATE)
        bundle = serialize_certificates([root.x509 for root in roots], Encoding.DER)
        documents["roots.p7c"] = Document.make(bundle, PKCS7_TYPE, newest, _REVALIDATE)
        told = "".join(
            f"{root.sha256.hex()}  {root.x509.subject.rfc4514_string()}  until {root.not_after:%Y-%m-%d}\n"
            for root in roots
        )
        documents["roots.txt"] = Document.make(told.encode(), TEXT_TYPE, newest, _REVALIDATE)
    return documents


def _cross_documents(crosses: Sequence[CrossCertificate]) -> dict[str, Document]:
    """Each cross-certificate beside the certificate of the authority that it is about, by who vouches."""
    return {
        f"ca/{one.authority}/by-{one.issuer}.cer": Document.make(
            one.certificate, CERTIFICATE_TYPE, one.added_at, _REVALIDATE
        )
        for one in crosses
    }
