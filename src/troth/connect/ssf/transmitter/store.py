"""SQL of receivers, of streams to them, and of the transmitter's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from troth.connect.ssf.transmitter.definitions import ReceiverDefinition
from troth.connect.ssf.transmitter.model import OutStream, Receiver
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The receiver exists, and its streams are ours to change until commit.
LOCK_RECEIVER: Final = Guard(
    "ssf_receiver_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN ssf_receiver r ON r.name = i.name ORDER BY r.name FOR UPDATE OF r""",
    ("text",),
    rank=12,
)
_PUT_RECEIVER = Write(
    "ssf_receiver_put",
    """INSERT INTO ssf_receiver (name, definition, applied_at, actor)
       SELECT * FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::text[]) ORDER BY 1
       ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, applied_at = excluded.applied_at,
                                        actor = excluded.actor""",
    ("text", "jsonb", "timestamptz", "text"),
)
_SECRET = Write(
    "ssf_receiver_secret",
    """UPDATE ssf_receiver r SET secret_digest = i.digest, generation = r.generation + 1
       FROM unnest($1::text[], $2::bytea[]) AS i(name, digest) WHERE r.name = i.name""",
    ("text", "bytea"),
)
_DROP_RECEIVER = Write(
    "ssf_receiver_drop",
    "DELETE FROM ssf_receiver r USING unnest($1::text[]) AS i(name) WHERE r.name = i.name",
    ("text",),
)
_MAKE_STREAM = Write(
    "ssf_out_stream_make",
    """INSERT INTO ssf_out_stream (id, receiver, configuration, header, made_at, active_at)
       SELECT id, receiver, configuration, header, at, at FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::bytea[],
              $5::timestamptz[]) AS i(id, receiver, configuration, header, at) ON CONFLICT (id) DO NOTHING""",
    ("text", "text", "jsonb", "bytea", "timestamptz"),
)
_CHANGE_STREAM = Write(
    "ssf_out_stream_change",
    """UPDATE ssf_out_stream s SET configuration = i.configuration, header = i.header, failures = 0, retry_at = NULL
       FROM unnest($1::text[], $2::jsonb[], $3::bytea[]) AS i(id, configuration, header) WHERE s.id = i.id""",
    ("text", "jsonb", "bytea"),
)
_STATUS = Write(
    "ssf_out_stream_status",
    """UPDATE ssf_out_stream s SET status = i.status, status_reason = i.reason, held = i.held, failures = 0,
                                  retry_at = NULL
       FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS i(id, status, reason, held)
       WHERE s.id = i.id""",
    ("text", "text", "text", "boolean"),
)
_REMOVED = Write(
    "ssf_out_stream_removed",
    """UPDATE ssf_out_stream s SET removed = i.removed
       FROM unnest($1::text[], $2::jsonb[]) AS i(id, removed) WHERE s.id = i.id""",
    ("text", "jsonb"),
)
_VERIFICATION = Write(
    "ssf_out_stream_verification",
    """UPDATE ssf_out_stream s SET verification_asked_at = i.at
       FROM unnest($1::text[], $2::timestamptz[]) AS i(id, at) WHERE s.id = i.id""",
    ("text", "timestamptz"),
)
_ACTIVE = Write(
    "ssf_out_stream_active",
    """UPDATE ssf_out_stream s SET active_at = i.at
       FROM unnest($1::text[], $2::timestamptz[]) AS i(id, at) WHERE s.id = i.id""",
    ("text", "timestamptz"),
    rank=70,
)
_PUSHED = Write(
    "ssf_out_stream_pushed",
    """UPDATE ssf_out_stream s SET delivered_at = i.at, failures = 0, error = '', retry_at = NULL
       FROM unnest($1::text[], $2::timestamptz[]) AS i(id, at) WHERE s.id = i.id""",
    ("text", "timestamptz"),
)
_FAILED = Write(
    "ssf_out_stream_failed",
    """UPDATE ssf_out_stream s SET failures = s.failures + 1, error = i.error, retry_at = i.retry_at
       FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS i(id, error, retry_at) WHERE s.id = i.id""",
    ("text", "text", "timestamptz"),
)
_DROP_STREAM = Write(
    "ssf_out_stream_drop",
    "DELETE FROM ssf_out_stream s USING unnest($1::text[]) AS i(id) WHERE s.id = i.id",
    ("text",),
)
ADD_KEY: Final = Claim(
    "ssf_key_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::bytea[], $4::jsonb[], $5::timestamptz[])
                  AS t(n, kid, private, jwk, made_at)),
       w AS (INSERT INTO ssf_key (kid, private, jwk, made_at) SELECT kid, private, jwk, made_at FROM i
             ON CONFLICT (kid) DO NOTHING RETURNING kid)
       SELECT i.n FROM i JOIN w USING (kid)""",
    ("text", "bytea", "jsonb", "timestamptz"),
)
DROP_KEY: Final = Write(
    "ssf_key_drop", "DELETE FROM ssf_key k USING unnest($1::text[]) AS i(kid) WHERE k.kid = i.kid", ("text",)
)

_RECEIVER = "SELECT definition, secret_digest, generation, applied_at, actor FROM ssf_receiver"
_STREAM = """
SELECT id, receiver, configuration, header, status, status_reason, held, removed, made_at, active_at,
       verification_asked_at, delivered_at, failures, error, retry_at FROM ssf_out_stream"""
_KEYS = "SELECT kid, private, jwk, made_at FROM ssf_key ORDER BY made_at"


def put_receiver(unit: Unit, definition: ReceiverDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of what a receiver is granted; its secret stays."""
    unit.write(_PUT_RECEIVER, definition.name, _json(definition), at, actor)


def set_secret(unit: Unit, name: str, digest: bytes) -> None:
    """Add the write of a receiver's secret; tokens got by a former one are worth nothing."""
    unit.write(_SECRET, name, digest)


def drop_receiver(unit: Unit, name: str) -> None:
    """Add the end of a receiver."""
    unit.write(_DROP_RECEIVER, name)


def make_stream(unit: Unit, id: str, receiver: str, configuration: Any, header: bytes | None, at: datetime) -> None:
    """Add the write of a new stream."""
    unit.write(_MAKE_STREAM, id, receiver, _json(configuration), header, at)


def change_stream(unit: Unit, id: str, configuration: Any, header: bytes | None) -> None:
    """Add the write of a stream's configuration."""
    unit.write(_CHANGE_STREAM, id, _json(configuration), header)


def set_status(unit: Unit, id: str, status: str, reason: str, *, held: bool = False) -> None:
    """Add the write of a stream's status. ``held``: its receiver may not enable it."""
    unit.write(_STATUS, id, status, reason[:500], held)


def set_removed(unit: Unit, id: str, removed: Sequence[Any]) -> None:
    """Add the write of the subjects that are taken out."""
    unit.write(_REMOVED, id, _json(list(removed)))


def verification_asked(unit: Unit, id: str, at: datetime) -> None:
    """Add the write that a verification was asked for."""
    unit.write(_VERIFICATION, id, at)


def active(unit: Unit, id: str, at: datetime) -> None:
    """Add the write that the receiver was heard from."""
    unit.write(_ACTIVE, id, at)


def pushed(unit: Unit, id: str, at: datetime) -> None:
    """Add the write that the receiver has taken a token."""
    unit.write(_PUSHED, id, at)


def failed(unit: Unit, id: str, error: str, retry_at: datetime) -> None:
    """Add the write of a push that failed."""
    unit.write(_FAILED, id, error[:500], retry_at)


def drop_stream(unit: Unit, id: str) -> None:
    """Add the end of a stream."""
    unit.write(_DROP_STREAM, id)


async def find_receiver(reader: Reader, name: str) -> Receiver | None:
    """The receiver of that name."""
    row = await reader.fetchrow(f"{_RECEIVER} WHERE name = $1", name)
    return None if row is None else _receiver(row)


async def receivers(reader: Reader) -> list[Receiver]:
    """Every receiver, by name."""
    return [_receiver(row) for row in await reader.fetch(f"{_RECEIVER} ORDER BY name")]


async def find_stream(reader: Reader, id: str) -> OutStream | None:
    """The stream of that id."""
    row = await reader.fetchrow(f"{_STREAM} WHERE id = $1", id)
    return None if row is None else _stream(row)


async def streams(reader: Reader, receiver: str | None = None) -> list[OutStream]:
    """Streams of a receiver, or of all, in the order of their making."""
    rows = await reader.fetch(f"{_STREAM} WHERE $1::text IS NULL OR receiver = $1 ORDER BY made_at, id", receiver)
    return [_stream(row) for row in rows]


async def keys(reader: Reader) -> list[tuple[str, bytes, Mapping[str, str], datetime]]:
    """(kid, sealed private key, public JWK, when it was made), the oldest first."""
    rows = await reader.fetch(_KEYS)
    return [(row["kid"], bytes(row["private"]), msgspec.json.decode(row["jwk"]), row["made_at"]) for row in rows]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _receiver(row: Row | Mapping[str, Any]) -> Receiver:
    digest = row["secret_digest"]
    return Receiver(
        msgspec.json.decode(row["definition"], type=ReceiverDefinition),
        None if digest is None else bytes(digest),
        row["generation"],
        row["applied_at"],
        row["actor"],
    )


def _stream(row: Row | Mapping[str, Any]) -> OutStream:
    configuration = msgspec.json.decode(row["configuration"])
    header = row["header"]
    return OutStream(
        id=row["id"],
        receiver=row["receiver"],
        method=configuration["method"],
        endpoint=configuration["endpoint"],
        requested=tuple(configuration["requested"]),
        description=configuration["description"],
        header=None if header is None else bytes(header),
        status=row["status"],
        status_reason=row["status_reason"],
        held=row["held"],
        removed=tuple(msgspec.json.decode(row["removed"])),
        made_at=row["made_at"],
        active_at=row["active_at"],
        verification_asked_at=row["verification_asked_at"],
        delivered_at=row["delivered_at"],
        failures=row["failures"],
        error=row["error"],
        retry_at=row["retry_at"],
    )
