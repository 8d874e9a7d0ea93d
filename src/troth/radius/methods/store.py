"""SQL of devices without certificates, and of the addresses that have shown one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from troth.radius.methods.lists import Account, Address
from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Unit

_PUT_ADDRESS = Write(
    "radius_address_put",
    """INSERT INTO radius_address (mac, note, until, added_at, actor)
       SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[])
       ON CONFLICT (mac) DO UPDATE SET note = excluded.note, until = excluded.until, added_at = excluded.added_at,
           actor = excluded.actor""",
    ("text", "text", "timestamptz", "timestamptz", "text"),
    rank=9,
)
_PUT_ACCOUNT = Write(
    "radius_account_put",
    """INSERT INTO radius_account (name, hash, udp, note, until, added_at, actor)
       SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                            $7::text[])
       ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, udp = excluded.udp, note = excluded.note,
           until = excluded.until, added_at = excluded.added_at, actor = excluded.actor""",
    ("text", "text", "boolean", "text", "timestamptz", "timestamptz", "text"),
    rank=9,
)
#: It is there, and ours until commit.
LOCK_ADDRESS = Guard(
    "radius_address_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, mac)
       JOIN radius_address a ON a.mac = i.mac ORDER BY a.mac FOR UPDATE OF a""",
    ("text",),
    rank=8,
)
LOCK_ACCOUNT = Guard(
    "radius_account_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN radius_account a ON a.name = i.name ORDER BY a.name FOR UPDATE OF a""",
    ("text",),
    rank=8,
)
_DROP_ADDRESS = Write(
    "radius_address_drop",
    "DELETE FROM radius_address a USING unnest($1::text[]) AS i(mac) WHERE a.mac = i.mac",
    ("text",),
    rank=9,
)
_DROP_ACCOUNT = Write(
    "radius_account_drop",
    "DELETE FROM radius_account a USING unnest($1::text[]) AS i(name) WHERE a.name = i.name",
    ("text",),
    rank=9,
)
_ADDRESSES = "SELECT mac, note, until, added_at, actor FROM radius_address ORDER BY mac"
_ACCOUNTS = "SELECT name, hash, udp, note, until, added_at, actor FROM radius_account ORDER BY name"
#: Newest first by id, which is made of time: what came after ``$1``.
_CERTIFIED = """SELECT id, mac FROM radius_session
                WHERE id > $1 AND method = 'eap-tls' AND admitted_at IS NOT NULL AND mac <> '' ORDER BY id LIMIT $2"""
#: Of these addresses, those whose device owns a certificate that has not ended and is not revoked. A hold counts as one
#: that it owns: who is kept out with it does not come in without.
_OWNERS = """
WITH i AS (SELECT DISTINCT mac, replace(mac, '-', '') AS bare FROM unnest($1::text[]) AS t(mac)),
     d AS (SELECT i.mac, s.id FROM i JOIN subject s ON s.kind = 'device' AND s.name = i.mac AND s.removed_at IS NULL
           UNION
           SELECT i.mac, a.subject_id FROM i
           JOIN subject_alias a ON a.system = 'mac' AND translate(lower(a.value), ':-. ', '') = i.bare)
SELECT DISTINCT d.mac FROM d
JOIN certificate_subject h ON h.subject_id = d.id AND h.role = 'subject'
JOIN certificate c ON c.id = h.certificate_id
WHERE c.state = 'issued' AND c.status <> 'revoked' AND c.not_after > $3 AND c.profile = ANY($2::text[])"""


def put_address(unit: Unit, one: Address) -> None:
    """Add the write of an address."""
    unit.write(_PUT_ADDRESS, one.mac, one.note, one.until, one.added_at, one.actor)


def put_account(unit: Unit, one: Account) -> None:
    """Add the write of an account."""
    unit.write(_PUT_ACCOUNT, one.name, one.hash, one.udp, one.note, one.until, one.added_at, one.actor)


def drop_address(unit: Unit, mac: str) -> None:
    """Add the removal of an address."""
    unit.write(_DROP_ADDRESS, mac)


def drop_account(unit: Unit, name: str) -> None:
    """Add the removal of an account."""
    unit.write(_DROP_ACCOUNT, name)


async def addresses(reader: Reader) -> Sequence[Address]:
    """All of them, by address."""
    return [Address(**dict(row)) for row in await reader.fetch(_ADDRESSES)]


async def accounts(reader: Reader) -> Sequence[Account]:
    """All of them, by name."""
    return [Account(**dict(row)) for row in await reader.fetch(_ACCOUNTS)]


async def owners(reader: Reader, addresses: Sequence[str], profiles: Sequence[str], at: datetime) -> frozenset[str]:
    """Of these canonical addresses, those whose device owns a certificate of one of ``profiles``."""
    return frozenset(row["mac"] for row in await reader.fetch(_OWNERS, addresses, profiles, at))


async def certified(reader: Reader, after: UUID, *, limit: int) -> tuple[list[str], UUID]:
    """Addresses of devices that were let in by a certificate in sessions after ``after``; and where that ended."""
    rows = await reader.fetch(_CERTIFIED, after, limit)
    return [row["mac"] for row in rows], rows[-1]["id"] if rows else after
