"""SQL of CRLs: numbers, bodies in chunks, and the status changes that none has shown yet. And of OCSP responders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.pki.model import Crl, CrlKind, Responder
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader

#: Takes a number of one shard: above every number of its kind, and no lower than any of the other kind.
RESERVE_CRL = Claim(
    "crl_reserve",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[],
               $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::boolean[], $13::int[], $14::bigint[],
               $15::timestamptz[])
           AS t(n, authority, shard, kind, number, base_number, point, tbs_sha256, this_update, next_update, alive_at,
                scheduled, entries, size, reserved_at)
       ), w AS (
           INSERT INTO crl_issue (authority, shard, kind, number, base_number, point, tbs_sha256, this_update,
               next_update, alive_at, scheduled, entries, size, reserved_at, state)
           SELECT authority, shard, kind, number, base_number, point, tbs_sha256, this_update, next_update, alive_at,
               scheduled, entries, size, reserved_at, 'reserved' FROM i
           WHERE NOT EXISTS (SELECT 1 FROM crl_issue c WHERE c.authority = i.authority AND c.shard = i.shard
               AND c.number >= i.number AND (c.kind = i.kind OR c.number > i.number))
           ON CONFLICT DO NOTHING RETURNING authority, shard, kind, number
       ) SELECT i.n FROM i JOIN w USING (authority, shard, kind, number)""",
    (
        "text",
        "smallint",
        "text",
        "bigint",
        "bigint",
        "text",
        "bytea",
        "timestamptz",
        "timestamptz",
        "timestamptz",
        "boolean",
        "int",
        "bigint",
        "timestamptz",
    ),
    rank=70,
)

#: Reserved for exactly these bytes, and what is published is still what the builder started from.
PUBLISHABLE = Guard(
    "crl_publishable",
    """SELECT i.n FROM unnest(
           $1::int[], $2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bigint[])
           AS i(n, authority, shard, kind, number, digest, full_number, delta_number)
       JOIN crl_shard s ON s.authority = i.authority AND s.shard = i.shard
           AND s.full_number = i.full_number AND s.delta_number = i.delta_number
       JOIN crl_issue c ON c.authority = i.authority AND c.shard = i.shard AND c.kind = i.kind
           AND c.number = i.number AND c.state = 'reserved' AND c.tbs_sha256 = i.digest
       ORDER BY s.authority, s.shard FOR UPDATE OF s, c""",
    ("text", "smallint", "text", "bigint", "bytea", "bigint", "bigint"),
    rank=70,
)

PUBLISH = Write(
    "crl_publish",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::text[], $2::smallint[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[],
               $8::bigint[], $9::double precision[])
           AS t(authority, shard, kind, number, head, tail, sha256, size, build_seconds)
       ), p AS (
           UPDATE crl_shard s SET
               full_number = CASE WHEN i.kind = 'full' THEN i.number ELSE s.full_number END,
               delta_number = CASE WHEN i.kind = 'delta' THEN i.number ELSE s.delta_number END
           FROM i WHERE s.authority = i.authority AND s.shard = i.shard
       ) UPDATE crl_issue c SET state = 'published', head = i.head, tail = i.tail, sha256 = i.sha256,
             size = i.size, build_seconds = i.build_seconds, chunks = '{}'
         FROM i WHERE c.authority = i.authority AND c.shard = i.shard AND c.kind = i.kind AND c.number = i.number""",
    ("text", "smallint", "text", "bigint", "bytea", "bytea", "bytea", "bigint", "double precision"),
    rank=70,
)

#: After PUBLISH: the chunks of a complete CRL in their order.
PUBLISH_CHUNKS = Write(
    "crl_publish_chunks",
    """UPDATE crl_issue c SET chunks = i.chunks
       FROM (SELECT authority, shard, number, array_agg(id ORDER BY place) AS chunks
             FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::int[], $5::uuid[])
                 AS u(authority, shard, number, place, id) GROUP BY authority, shard, number) AS i
       WHERE c.authority = i.authority AND c.shard = i.shard AND c.kind = 'full' AND c.number = i.number""",
    ("text", "smallint", "bigint", "int", "uuid"),
    rank=71,
)

ADD_CHUNK = Write(
    "crl_chunk_add",
    """INSERT INTO crl_chunk (id, authority, shard, starts, entries, body, gone_in)
       SELECT * FROM unnest(
           $1::uuid[], $2::text[], $3::smallint[], $4::bytea[], $5::int[], $6::bytea[], $7::bigint[])""",
    ("uuid", "text", "smallint", "bytea", "int", "bytea", "bigint"),
    rank=72,
)

#: null keeps the chunk, a number says which complete CRL is the first to do without it.
SET_CHUNK_GONE = Write(
    "crl_chunk_gone",
    """UPDATE crl_chunk c SET gone_in = i.gone_in FROM unnest($1::uuid[], $2::bigint[]) AS i(id, gone_in)
       WHERE c.id = i.id""",
    ("uuid", "bigint"),
    rank=73,
)

#: What a CRL has shown: once deltas need it no more, by deleting it.
SET_SHOWN = Write(
    "crl_change_shown",
    """UPDATE crl_change c SET shown_in = i.number, before = i.before, after = i.after
       FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::boolean[], $5::boolean[])
           AS i(certificate_id, version, number, before, after)
       WHERE c.certificate_id = i.certificate_id AND c.status_version = i.version""",
    ("uuid", "int", "bigint", "boolean", "boolean"),
    rank=74,
)
DROP_CHANGE = Write(
    "crl_change_drop",
    """DELETE FROM crl_change c USING unnest($1::uuid[], $2::int[]) AS i(certificate_id, version)
       WHERE c.certificate_id = i.certificate_id AND c.status_version = i.version""",
    ("uuid", "int"),
    rank=74,
)
#: No delta starts from before ``number`` any more.
DROP_CHANGES_TO = Write(
    "crl_change_drop_to",
    """DELETE FROM crl_change c USING unnest($1::text[], $2::smallint[], $3::bigint[]) AS i(authority, shard, number)
       WHERE c.authority = i.authority AND c.shard = i.shard AND c.shown_in <= i.number""",
    ("text", "smallint", "bigint"),
    rank=75,
)

#: Old CRLs: the digest stays in the ledger, the newest few stay here, and what only older ones are made of goes.
PRUNE = Write(
    "crl_prune",
    """WITH i AS (SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[]) AS t(authority, shard, kind)
       ), k AS (
           SELECT i.authority, i.shard, i.kind, (
               SELECT min(number) FROM (
                   SELECT c.number FROM crl_issue c WHERE c.authority = i.authority AND c.shard = i.shard
                       AND c.kind = i.kind ORDER BY c.number DESC LIMIT 5) AS newest) AS oldest
           FROM i
       ), d AS (
           DELETE FROM crl_chunk c USING k WHERE c.authority = k.authority AND c.shard = k.shard AND k.kind = 'full'
               AND c.gone_in <= k.oldest
       ) DELETE FROM crl_issue c USING k
         WHERE c.authority = k.authority AND c.shard = k.shard AND c.kind = k.kind AND c.number < k.oldest""",
    ("text", "smallint", "text"),
    rank=76,
)

ADD_SHARD = Write(
    "crl_shard_add",
    """INSERT INTO crl_shard (authority, shard) SELECT * FROM unnest($1::text[], $2::smallint[])
       ON CONFLICT DO NOTHING""",
    ("text", "smallint"),
    rank=69,
)

ADD_RESPONDER = Write(
    "ocsp_responder_add",
    """INSERT INTO ocsp_responder (certificate_id, authority, key_id, certificate, not_before, not_after)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::timestamptz[])""",
    ("uuid", "text", "text", "bytea", "timestamptz", "timestamptz"),
    rank=72,
)

_FACTS = """c.authority, c.shard, c.kind, c.number, c.base_number, c.this_update, c.next_update, c.entries, c.size,
    c.sha256, c.build_seconds, c.point"""
_NEWEST = f"""SELECT {_FACTS}, c.head, c.tail, c.chunks FROM crl_issue c
    WHERE c.authority = $1 AND c.shard = $2 AND c.kind = $3 AND c.state = 'published'
    ORDER BY c.number DESC LIMIT 1"""
_NUMBERED = f"""SELECT {_FACTS}, c.head, c.tail, c.chunks FROM crl_issue c
    WHERE c.authority = $1 AND c.shard = $2 AND c.kind = $3 AND c.number = $4 AND c.state = 'published'"""
_ALL = f"""SELECT {_FACTS} FROM crl_shard s JOIN crl_issue c ON c.authority = s.authority AND c.shard = s.shard
      AND c.state = 'published' AND ((c.kind = 'full' AND c.number = s.full_number)
          OR (c.kind = 'delta' AND c.number = s.delta_number))
    ORDER BY c.authority, c.shard, c.kind DESC"""
_CHUNKS = "SELECT id, starts, entries, body FROM crl_chunk WHERE id = ANY($1::uuid[])"
_STANDING = """SELECT coalesce(max(number), 0) AS last,
        max(this_update) FILTER (WHERE state = 'published' AND kind = 'full' AND scheduled) AS scheduled_at
    FROM crl_issue WHERE authority = $1 AND shard = $2"""
_POINTER = """SELECT s.full_number, s.delta_number, c.this_update, c.alive_at, c.point, c.chunks, c.entries
    FROM crl_shard s LEFT JOIN crl_issue c ON c.authority = s.authority AND c.shard = s.shard AND c.kind = 'full'
        AND c.number = s.full_number
    WHERE s.authority = $1 AND s.shard = $2"""
# The upper end is always given, or the range would be read on to the end of the index.
_RANGE = """SELECT count(*) AS entries, string_agg(crl_entry, ''::bytea ORDER BY serial) AS body,
        (array_agg(serial ORDER BY serial DESC))[1] AS last
    FROM (SELECT serial, crl_entry FROM certificate
          WHERE authority = $1 AND crl_shard = $2 AND crl_entry IS NOT NULL AND NOT no_rev_avail
              AND serial >= $3 AND serial < $4 AND not_after >= $5
          ORDER BY serial LIMIT $6) AS listed"""
_PENDING = """SELECT certificate_id, status_version, serial FROM crl_change
    WHERE authority = $1 AND shard = $2 AND shown_in IS NULL ORDER BY certificate_id LIMIT $3"""
_WAITING = """SELECT authority, shard, count(*) AS changes, min(changed_at) AS oldest FROM crl_change
    WHERE shown_in IS NULL GROUP BY authority, shard"""
_SHOWN_SINCE = """SELECT serial, bool_or(before OR after) AS listed, max(changed_at) AS changed_at FROM crl_change
    WHERE authority = $1 AND shard = $2 AND shown_in > $3 GROUP BY serial ORDER BY serial"""
# A responder that was revoked (its key is in other hands, say) signs nothing any more: it is as if there were none.
_SOUND_RESPONDERS = """SELECT DISTINCT ON (r.authority) r.certificate_id, r.authority, r.key_id, r.certificate,
        r.not_before, r.not_after
    FROM ocsp_responder r JOIN certificate c ON c.id = r.certificate_id AND c.status = 'good'"""
_RESPONDER = f"{_SOUND_RESPONDERS} WHERE r.authority = $1 ORDER BY r.authority, r.not_after DESC"
_RESPONDERS = f"{_SOUND_RESPONDERS} ORDER BY r.authority, r.not_after DESC"
#: Above every serial number.
LAST = b"\xff" * 32
#: Chunks of one statement when a whole CRL is read.
_CHUNKS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of entries; its serial numbers lie from ``starts`` to where the next chunk starts."""

    id: UUID
    starts: bytes
    entries: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A CRL: ``head``, the chunks with these ids, ``tail``."""

    head: bytes
    tail: bytes
    chunks: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one shard stands.

    Attributes:
        last: highest number ever taken.
        full_number, delta_number: what is published, 0 before the first.
        scheduled_at: thisUpdate of the last complete CRL on schedule.
        this_update, alive_at, point, chunks, entries: of the complete CRL that is published.
    """

    last: int
    full_number: int
    delta_number: int
    scheduled_at: datetime | None
    this_update: datetime | None
    alive_at: datetime | None
    point: str | None
    chunks: tuple[UUID, ...]
    entries: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A status change that no CRL has shown."""

    certificate_id: UUID
    status_version: int
    serial: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate whose status changed since some CRL. ``listed``: by that CRL or by one since."""

    serial: bytes
    listed: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Changes of one shard that wait for a CRL."""

    authority: str
    shard: int
    changes: int
    oldest: datetime


_HAS_LIVE = """SELECT EXISTS (SELECT 1 FROM certificate
    WHERE authority = $1 AND state = 'issued' AND not_after > $2 AND profile <> $3)"""


class CrlStore:
    """Reading what a CRL is made of, and CRLs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def newest(self, authority: str, shard: int = 0, kind: CrlKind = "full") -> Crl | None:
        """The newest published CRL with all of its bytes."""
        row = await self._reader.fetchrow(_NEWEST, authority, shard, kind)
        if row is None:
            return None
        facts = dict(row)
        head, tail, ids = facts.pop("head"), facts.pop("tail"), facts.pop("chunks")
        bodies = [chunk.body async for chunk in self.chunks(ids)]
        return Crl(**facts, parts=(head, *bodies, tail))

    async def frame(self, crl: Crl) -> StoredFrame | None:
        """What stands around the entries of a published CRL, and where those are; None when it is gone."""
        row = await self._reader.fetchrow(_NUMBERED, crl.authority, crl.shard, crl.kind, crl.number)
        return None if row is None else StoredFrame(row["head"], row["tail"], tuple(row["chunks"]))

    async def published(self) -> list[Crl]:
        """Every CRL that is published now, without its bytes: complete ones and deltas of all shards."""
        return [Crl(**dict(row)) for row in await self._reader.fetch(_ALL)]

    async def chunks(self, ids: Sequence[UUID]) -> AsyncIterator[Chunk]:
        """Chunks in the order of ``ids``, read a few at a time. Those that are gone are left out."""
        for at in range(0, len(ids), _CHUNKS_AT_ONCE):
            page = ids[at : at + _CHUNKS_AT_ONCE]
            found = {row["id"]: Chunk(**dict(row)) for row in await self._reader.fetch(_CHUNKS, list(page))}
            for one in page:
                if one in found:
                    yield found[one]

    async def standing(self, authority: str, shard: int) -> Standing:
        """What the next CRL comes after."""
        pointer = await self._reader.fetchrow(_POINTER, authority, shard)
        row = await self._reader.fetchrow(_STANDING, authority, shard)
        last, scheduled_at = (row["last"], row["scheduled_at"]) if row is not None else (0, None)
        if pointer is None:
            return Standing(last, 0, 0, scheduled_at, None, None, None, (), None)
        facts = dict(pointer)
        return Standing(last=last, scheduled_at=scheduled_at, **facts | {"chunks": tuple(facts["chunks"] or ())})

    async def entries(
        self, authority: str, shard: int, starts: bytes, ends: bytes, *, alive_at: datetime, limit: int
    ) -> tuple[int, bytes, bytes]:
        """(number, concatenated DER, last serial number) of the first ``limit`` entries in a range.

        Only of certificates that had not expired before ``alive_at``.
        """
        row = await self._reader.fetchrow(_RANGE, authority, shard, starts, ends, alive_at, limit)
        return (0, b"", b"") if row is None else (row["entries"], row["body"] or b"", row["last"] or b"")

    async def pending(self, authority: str, shard: int, limit: int) -> list[Change]:
        """Changes that no CRL has shown, the certificates' oldest first."""
        return [Change(**dict(row)) for row in await self._reader.fetch(_PENDING, authority, shard, limit)]

    async def waiting(self) -> list[Waiting]:
        """All shards with changes that no CRL has shown."""
        return [Waiting(**dict(row)) for row in await self._reader.fetch(_WAITING)]

    async def shown_since(self, authority: str, shard: int, number: int) -> list[Shown]:
        """Certificates whose changes were first shown after CRL ``number``, by serial number."""
        return [Shown(**dict(row)) for row in await self._reader.fetch(_SHOWN_SINCE, authority, shard, number)]

    async def responder(self, authority: str) -> Responder | None:
        """The responder whose certificate lasts longest, of those that are not revoked."""
        row = await self._reader.fetchrow(_RESPONDER, authority)
        return None if row is None else Responder(**dict(row))

    async def responders(self) -> dict[str, Responder]:
        """The same of every authority, in one query."""
        return {row["authority"]: Responder(**dict(row)) for row in await self._reader.fetch(_RESPONDERS)}

    async def has_live(self, authority: str, at: datetime, responders: str) -> bool:
        """Whether a certificate of ``authority`` is unexpired at ``at``, its ``responders`` (a profile) aside."""
        return bool(await self._reader.fetchval(_HAS_LIVE, authority, at, responders))
