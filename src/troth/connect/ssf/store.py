"""SQL of streams: how each is, and whom it knows. What came over them has ``event_store``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from troth.connect.ssf.model import Configuration, Metadata, Stream, StreamDefinition, Verification
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The stream exists, and is ours until commit.
LOCK_STREAM: Final = Guard(
    "ssf_stream_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN ssf_stream s ON s.name = i.name ORDER BY s.name FOR UPDATE OF s""",
    ("text",),
    rank=12,
)

_CREATE = Claim(
    "ssf_stream_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::text[])
                  AS t(n, name, feed, definition, at, actor)),
       w AS (INSERT INTO ssf_stream (name, feed, definition, status, applied_at, actor)
             SELECT name, feed, definition, 'planned', at, actor FROM i ORDER BY name
             ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "text", "jsonb", "timestamptz", "text"),
    rank=12,
)
_DEFINE = Write(
    "ssf_stream_define",
    """UPDATE ssf_stream s SET feed = i.feed, definition = i.definition, applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::text[])
            AS i(name, feed, definition, at, actor) WHERE s.name = i.name""",
    ("text", "text", "jsonb", "timestamptz", "text"),
)
_DELETE = Write(
    "ssf_stream_delete", "DELETE FROM ssf_stream s USING unnest($1::text[]) AS i(name) WHERE s.name = i.name", ("text",)
)
_SECRET = Write(
    "ssf_stream_secret",
    """UPDATE ssf_stream s SET secret = i.secret
       FROM unnest($1::text[], $2::bytea[]) AS i(name, secret) WHERE s.name = i.name""",
    ("text", "bytea"),
)
_HEADER = Write(
    "ssf_stream_header",
    """UPDATE ssf_stream s SET former_digest = s.header_digest, header_digest = i.digest
       FROM unnest($1::text[], $2::bytea[]) AS i(name, digest) WHERE s.name = i.name""",
    ("text", "bytea"),
)
_KNOWN = Write(
    "ssf_stream_known",
    """UPDATE ssf_stream s SET metadata = i.metadata, configuration = i.configuration, remote_id = i.remote_id,
              status = i.status, status_reason = i.reason, error = '', error_at = NULL
       FROM unnest($1::text[], $2::jsonb[], $3::jsonb[], $4::text[], $5::text[], $6::text[])
            AS i(name, metadata, configuration, remote_id, status, reason) WHERE s.name = i.name""",
    ("text", "jsonb", "jsonb", "text", "text", "text"),
)
_STATUS = Write(
    "ssf_stream_status",
    """UPDATE ssf_stream s SET status = i.status, status_reason = i.reason
       FROM unnest($1::text[], $2::text[], $3::text[]) AS i(name, status, reason) WHERE s.name = i.name""",
    ("text", "text", "text"),
)
#: At most four stay unanswered: a slow transmitter may have several under way.
_ASKED = Write(
    "ssf_stream_asked",
    """UPDATE ssf_stream s SET verifications =
              CASE WHEN jsonb_array_length(s.verifications) >= 4 THEN s.verifications - 0 ELSE s.verifications END
              || i.one
       FROM unnest($1::text[], $2::jsonb[]) AS i(name, one) WHERE s.name = i.name""",
    ("text", "jsonb"),
)
#: Those asked for before it are answered with it: they will not come any more, or are nothing new.
_ANSWERED = Write(
    "ssf_stream_answered",
    """UPDATE ssf_stream s SET verified_at = i.at, verifications = COALESCE((
           SELECT jsonb_agg(e ORDER BY n) FROM jsonb_array_elements(s.verifications) WITH ORDINALITY AS t(e, n)
           WHERE n > COALESCE((SELECT max(m) FROM jsonb_array_elements(s.verifications) WITH ORDINALITY AS u(f, m)
                               WHERE f ->> 'state' = i.state), 0)), '[]')
       FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS i(name, state, at) WHERE s.name = i.name""",
    ("text", "text", "timestamptz"),
)
#: Several units in one commit may have heard the same stream: the latest counts.
_HEARD = Write(
    "ssf_stream_heard",
    """UPDATE ssf_stream s SET heard_at = greatest(s.heard_at, i.at), error = '', error_at = NULL
       FROM (SELECT name, max(at) AS at FROM unnest($1::text[], $2::timestamptz[]) AS t(name, at) GROUP BY name) AS i
       WHERE s.name = i.name""",
    ("text", "timestamptz"),
    rank=70,
)
_FAILED = Write(
    "ssf_stream_failed",
    """UPDATE ssf_stream s SET error = i.error, error_at = i.at
       FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS i(name, error, at) WHERE s.name = i.name""",
    ("text", "text", "timestamptz"),
)

_COLUMNS = (
    "name, definition, secret, header_digest, former_digest, metadata, configuration, status, status_reason, "
    "verifications, verified_at, heard_at, error, error_at, applied_at, actor"
)
_ONE = f"SELECT {_COLUMNS} FROM ssf_stream WHERE name = $1"
_ALL = f"SELECT {_COLUMNS} FROM ssf_stream ORDER BY name"


def create(unit: Unit, definition: StreamDefinition, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes a stream, planned."""
    unit.claim(_CREATE, definition.name, definition.feed, _json(definition), at, actor, refuse=refuse)


def define(unit: Unit, definition: StreamDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition."""
    unit.write(_DEFINE, definition.name, definition.feed, _json(definition), at, actor)


def delete(unit: Unit, name: str) -> None:
    """Add the end of a stream. What came over it stays until it is too old."""
    unit.write(_DELETE, name)


def set_secret(unit: Unit, name: str, sealed: bytes) -> None:
    """Add the write of a sealed credential."""
    unit.write(_SECRET, name, sealed)


def set_header(unit: Unit, name: str, digest: bytes) -> None:
    """Add the write of the authorization header's digest; the former one is taken as well until the next change."""
    unit.write(_HEADER, name, digest)


def set_known(
    unit: Unit, name: str, metadata: Metadata, configuration: Configuration | None, status: str, reason: str
) -> None:
    """Add the write of what the transmitter says of the stream; whatever had failed is forgotten."""
    unit.write(
        _KNOWN, name, _json(metadata.as_json()), None if configuration is None else _json(configuration.as_json()),
        None if configuration is None else configuration.stream_id, status, reason[:500],
    )  # fmt: skip


def set_status(unit: Unit, name: str, status: str, reason: str) -> None:
    """Add the write of a new status."""
    unit.write(_STATUS, name, status, reason[:500])


def verification_asked(unit: Unit, name: str, asked: Verification) -> None:
    """Add the write of a verification that is asked for."""
    unit.write(_ASKED, name, _json([{"state": asked.state, "at": asked.at}]))


def verification_answered(unit: Unit, name: str, state: str, at: datetime) -> None:
    """Add the write that the verification of that state has come."""
    unit.write(_ANSWERED, name, state, at)


def heard(unit: Unit, name: str, at: datetime) -> None:
    """Add the write that the stream lives."""
    unit.write(_HEARD, name, at)


def failed(unit: Unit, name: str, error: str, at: datetime) -> None:
    """Add the write of what failed."""
    unit.write(_FAILED, name, error[:500], at)


async def find_stream(reader: Reader, name: str) -> Stream | None:
    """The stream of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else _stream(row)


async def all_streams(reader: Reader) -> list[Stream]:
    """Every stream, by name."""
    return [_stream(row) for row in await reader.fetch(_ALL)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class _Waiting(msgspec.Struct):
    state: str
    at: datetime


def _stream(row: Row | Mapping[str, Any]) -> Stream:
    waiting = msgspec.json.decode(row["verifications"], type=list[_Waiting])
    digests = (row["header_digest"], row["former_digest"])
    metadata, configuration = row["metadata"], row["configuration"]
    return Stream(
        name=row["name"],
        definition=msgspec.json.decode(row["definition"], type=StreamDefinition),
        secret=row["secret"],
        header_digests=tuple(bytes(one) for one in digests if one is not None),
        metadata=None if metadata is None else Metadata.read(msgspec.json.decode(metadata)),
        configuration=None if configuration is None else Configuration.read(msgspec.json.decode(configuration)),
        status=row["status"],
        status_reason=row["status_reason"],
        verifications=tuple(Verification(one.state, one.at) for one in waiting),
        verified_at=row["verified_at"],
        heard_at=row["heard_at"],
        error=row["error"],
        error_at=row["error_at"],
        applied_at=row["applied_at"],
        actor=row["actor"],
    )
