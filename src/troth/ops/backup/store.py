"""SQL of backups: what a header says, what is reset, images of rows, and the ledger as it is put together again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from troth.kit.ids import parse_id
from troth.ops.backup.coverage import BY_REFERENCE, WHOLE, ByReference
from troth.store.snapshot import Loader, Snapshot

_HEAD = "SELECT size, frontier, root, newest_at FROM ledger_head"
_CHECKPOINT = "SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"
_COUNT = "SELECT count(*) FROM certificate WHERE state = 'issued'"
_AUTHORITIES = "SELECT slug FROM authority ORDER BY slug"
_VERSION = "SELECT current_setting('server_version')"
_EVENTS = """SELECT e.idx, e.payload, e.salt, e.leaf FROM ledger_event e
    WHERE e.idx >= $1 ORDER BY e.idx LIMIT $2"""
_INBOX = "SELECT id, recorded_at, payload, salt FROM ledger_inbox ORDER BY id LIMIT 5000"
_NOTES = "SELECT size, note, signed_at FROM ledger_checkpoint WHERE size > $1 AND size <= $2 ORDER BY size DESC LIMIT 1"


_HEXADECIMAL: Final = re.compile(r"(?:[0-9a-f]{2})+\Z")


class SourceStore:
    """What a backup and a shipping pass read, within one snapshot."""

    def __init__(self, reader: Snapshot) -> None:
        self._reader = reader

    async def head(self) -> tuple[int, bytes, list[bytes]]:
        """(size, root, frontier) of the ledger."""
        row = await self._reader.fetchrow(_HEAD)
        return row["size"], bytes(row["root"]), [bytes(node) for node in row["frontier"]]

    async def checkpoint(self) -> str | None:
        """The newest signed note."""
        note: str | None = await self._reader.fetchval(_CHECKPOINT)
        return note

    async def note_within(self, after: int, size: int) -> tuple[int, str, datetime] | None:
        """The newest note over more than ``after`` and at most ``size`` events."""
        row = await self._reader.fetchrow(_NOTES, after, size)
        return None if row is None else (row["size"], row["note"], row["signed_at"])

    async def certificates(self) -> int:
        """How many were issued."""
        return int(await self._reader.fetchval(_COUNT))

    async def authorities(self) -> tuple[str, ...]:
        """Their slugs."""
        return tuple(row["slug"] for row in await self._reader.fetch(_AUTHORITIES))

    async def version(self) -> str:
        """The server's version."""
        return str(await self._reader.fetchval(_VERSION))

    async def events(self, start: int, limit: int) -> list[tuple[int, bytes | None, bytes | None, bytes]]:
        """(index, payload, salt, leaf) from ``start`` on."""
        rows = await self._reader.fetch(_EVENTS, start, limit)
        return [
            (
                row["idx"],
                None if row["payload"] is None else bytes(row["payload"]),
                None if row["salt"] is None else bytes(row["salt"]),
                bytes(row["leaf"]),
            )
            for row in rows
        ]

    async def waiting(self) -> list[tuple[str, str, bytes, bytes]]:
        """Committed events without an index: (id, time, payload, salt)."""
        rows = await self._reader.fetch(_INBOX)
        return [
            (str(row["id"]), row["recorded_at"].isoformat(), bytes(row["payload"]), bytes(row["salt"])) for row in rows
        ]

    async def images(self, subjects: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Of each large table, the rows that events are about which name ``subjects``: ``{"keys": …, "rows": …}``."""
        references: dict[str, set[str]] = {}
        for subject in subjects:
            kind, _, identifier = subject.partition(":")
            references.setdefault(kind, set()).add(identifier)
        found: dict[str, dict[str, Any]] = {}
        for table, by in BY_REFERENCE.items():
            # A reference of the same first word may be of another kind of thing, which has no row here.
            keys = sorted(key for key in references.get(by.kind, ()) if _is_key(key, by))
            if not keys:
                continue
            rows = await self._reader.fetch(
                f"SELECT to_jsonb(t)::text AS image FROM {table} t WHERE {_named(by)}", keys
            )
            found[table] = {"keys": keys, "rows": [json.loads(row["image"]) for row in rows]}
        return found

    async def digest(self, table: str) -> str:
        """Changes whenever a small table does."""
        return str(
            await self._reader.fetchval(
                f"SELECT md5(coalesce(string_agg(d, '' ORDER BY d), '')) FROM "
                f"(SELECT md5(t::text) AS d FROM {_known(table)} t) x"
            )
        )

    async def whole(self, table: str) -> list[Any]:
        """All rows of a small table."""
        rows = await self._reader.fetch(f"SELECT to_jsonb(t)::text AS image FROM {_known(table)} t")
        return [json.loads(row["image"]) for row in rows]


_INSERT_EVENTS = """INSERT INTO ledger_event (idx, id, recorded_at, kind, actor, payload, salt, leaf)
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[],
        $7::bytea[], $8::bytea[])"""
_INSERT_REFERENCES = """INSERT INTO ledger_subject (ref, idx) SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT DO NOTHING"""
_SET_HEAD = "UPDATE ledger_head SET size = $1, frontier = $2, root = $3, newest_at = greatest(newest_at, $4)"
_SEQUENCED = "DELETE FROM ledger_inbox WHERE id = ANY($1::uuid[])"
_ADD_INBOX = """INSERT INTO ledger_inbox (id, recorded_at, payload, salt)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[], $4::bytea[]) AS i(id, recorded_at, payload, salt)
    WHERE NOT EXISTS (SELECT 1 FROM ledger_event e WHERE e.idx >= $5 AND e.id = i.id) ON CONFLICT DO NOTHING"""
_ADD_NOTE = """INSERT INTO ledger_checkpoint (size, root, note, signed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (size) DO NOTHING"""
_DROP_NOTES = "DELETE FROM ledger_checkpoint"
_FRONTIER_LEAVES = "SELECT leaf FROM ledger_event WHERE idx >= $1 AND idx < $2 ORDER BY idx"
_ONLINE = "SELECT slug, not_after FROM authority WHERE key_id IS NOT NULL"
_HIGHEST = """SELECT max(number) FROM (
    SELECT number FROM crl WHERE authority = $1 UNION ALL
    SELECT number FROM crl_issue WHERE authority = $1) n"""
_FORGET_CRLS = (
    "DELETE FROM crl WHERE authority = $1",
    "DELETE FROM crl_issue WHERE authority = $1",
    "DELETE FROM crl_chunk WHERE authority = $1",
    "UPDATE crl_shard SET full_number = 0, delta_number = 0 WHERE authority = $1",
    "UPDATE crl_change SET shown_in = NULL, before = false, after = false WHERE authority = $1",
)
_FLOOR = """INSERT INTO crl_issue (authority, shard, kind, number, state, tbs_sha256, this_update, next_update,
        alive_at, scheduled, entries, size, reserved_at)
    SELECT a.slug, s, 'full', $2, 'reserved', '', $3, $3, $3, true, 0, 0, $3
    FROM authority a, generate_series(0, a.crl_shards - 1) s WHERE a.slug = $1"""
_SERIALS = "SELECT serial, status FROM certificate WHERE serial = ANY($1::bytea[])"
_SET_STATUS = """UPDATE certificate SET status = $2, status_version = status_version + 1, status_at = $3,
    revocation_reason = $4, crl_entry = $5 WHERE serial = $1"""
_HOLD_CAUSE = """INSERT INTO certificate_hold (certificate_id, cause, actor, raised_at)
    SELECT id, 'recovery:last-crl', 'system:recovery', $2 FROM certificate WHERE serial = $1 AND status = 'held'
    ON CONFLICT DO NOTHING"""
_NO_CAUSES = """DELETE FROM certificate_hold WHERE certificate_id IN (
    SELECT id FROM certificate WHERE serial = $1 AND status = 'revoked')"""
_STRANGER = """INSERT INTO certificate (id, authority, serial, request_id, profile, profile_version, spki_sha256, names,
        not_before, not_after, state, instance, reserved_at, status, status_version, status_at, revocation_reason,
        crl_entry, actor)
    VALUES ($1, $2, $3, 'recovered:' || encode($3, 'hex'), '', 0, '', '[]', $4, $5, 'burnt', $1, $4, 'revoked', 1, $4,
        $6, $7, 'system:recovery') ON CONFLICT DO NOTHING"""
_CLOSE = """UPDATE recovery_fence SET state = 'closed', reason = $1, closed_at = $2, unknown_from = $3,
        unknown_until = $2, settled_at = NULL, settled_by = NULL, settled_why = '' """


class RestoreStore:
    """What a restore writes, within one transaction."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    async def append(
        self, rows: Sequence[tuple[Any, ...]], references: Sequence[tuple[str, int]], head: tuple[Any, ...]
    ) -> None:
        """Events with their places, what they are about, and the head after them."""
        await self._loader.execute(_INSERT_EVENTS, *map(list, zip(*rows, strict=True)))
        if references:
            await self._loader.execute(_INSERT_REFERENCES, *map(list, zip(*references, strict=True)))
        await self._loader.execute(_SET_HEAD, *head)
        await self._loader.execute(_SEQUENCED, [row[1] for row in rows])

    async def partition(self, ddl: str) -> None:
        """Make a partition."""
        await self._loader.execute(ddl)

    async def add_waiting(self, rows: Sequence[tuple[Any, ...]], since: int) -> None:
        """Events that were committed and had no index yet; those that got one from ``since`` on are passed over."""
        if rows:
            await self._loader.execute(_ADD_INBOX, *map(list, zip(*rows, strict=True)), since)

    async def add_note(self, size: int, root: bytes, note: str, at: datetime) -> None:
        """A signed checkpoint."""
        await self._loader.execute(_ADD_NOTE, size, root, note, at)

    async def drop_notes(self) -> None:
        """No checkpoint is of this log any more."""
        await self._loader.execute(_DROP_NOTES)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes ``start`` to ``end``."""
        return [bytes(row["leaf"]) for row in await self._loader.fetch(_FRONTIER_LEAVES, start, end)]

    async def put_images(self, images: Mapping[str, Mapping[str, Any]]) -> int:
        """Put shipped rows in the place of those that are there; returns how many."""
        count = 0
        for table, image in images.items():
            await self._loader.execute(f"DELETE FROM {table} WHERE {_named(BY_REFERENCE[table])}", list(image["keys"]))
            count += await self._insert(table, image["rows"])
        return count

    async def put_whole(self, tables: Mapping[str, Sequence[Any]]) -> None:
        """Put shipped small tables in the place of those that are there."""
        for table, rows in tables.items():
            await self._loader.execute(f"DELETE FROM {_known(table)}")
            await self._insert(table, rows)

    async def _insert(self, table: str, rows: Sequence[Any]) -> int:
        if rows:
            columns = ", ".join(f'"{column}"' for column in rows[0])
            await self._loader.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} "
                f"FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)",
                json.dumps(rows),
            )
        return len(rows)

    async def online_authorities(self) -> list[tuple[str, datetime]]:
        """(slug, not after) of those whose key is on this installation."""
        return [(row["slug"], row["not_after"]) for row in await self._loader.fetch(_ONLINE)]

    async def restart_crls(self, authority: str, floor: int, at: datetime) -> int:
        """Have the next CRL of ``authority`` made whole, with a number above ``floor`` and all that are known here."""
        highest = max(floor, await self._loader.fetchval(_HIGHEST, authority) or 0)
        for statement in _FORGET_CRLS:
            await self._loader.execute(statement, authority)
        await self._loader.execute(_FLOOR, authority, highest, at)
        return highest

    async def statuses(self, serials: Sequence[bytes]) -> dict[bytes, str]:
        """Serial → status of those that are known."""
        rows = await self._loader.fetch(_SERIALS, list(serials))
        return {bytes(row["serial"]): row["status"] for row in rows}

    async def add_stranger(self, *values: Any) -> None:
        """A serial number that a CRL lists and nobody here remembers: burnt and revoked."""
        await self._loader.execute(_STRANGER, *values)

    async def set_status(self, serial: bytes, status: str, at: datetime, reason: int, entry: bytes) -> None:
        """Hold or revoke a known certificate as a CRL said. The restore's own event tells of it."""
        await self._loader.execute(_SET_STATUS, serial, status, at, reason, entry)
        await self._loader.execute(_HOLD_CAUSE, serial, at)
        await self._loader.execute(_NO_CAUSES, serial)

    async def close_fence(self, reason: str, at: datetime, unknown_from: datetime) -> None:
        """Close it."""
        await self._loader.execute(_CLOSE, reason, at, unknown_from)


def _named(by: ByReference) -> str:
    keys = "SELECT decode(k, 'hex') FROM unnest($1::text[]) k" if by.hexadecimal else "$1::text[]::uuid[]"
    return f"{by.column} = ANY({keys})"


def _is_key(text: str, by: ByReference) -> bool:
    return _HEXADECIMAL.match(text) is not None if by.hexadecimal else parse_id(text) is not None


def _known(table: str) -> str:
    if table not in WHOLE:
        raise ValueError(f"{table} is not shipped whole")
    return table
