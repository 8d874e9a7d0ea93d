"""SQL of what another CA had issued before Troth took it over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader

#: A certificate, or an entry of a CRL whose certificate was not given: that one is ``burnt`` and revoked for good.
TAKE = Claim(
    "certificate_take",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::bytea[], $3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::jsonb[], $8::text[],
               $9::timestamptz[], $10::timestamptz[], $11::text[], $12::bytea[], $13::bytea[], $14::uuid[],
               $15::timestamptz[], $16::text[], $17::timestamptz[], $18::int[], $19::bytea[], $20::text[])
           AS t(n, serial, id, authority, request_id, spki_sha256, names, common_name, not_before, not_after, state,
                der, sha256, instance, at, status, status_at, reason, entry, actor)
       ), w AS (
           INSERT INTO certificate (serial, id, authority, request_id, profile, profile_version, spki_sha256, names,
               common_name, not_before, not_after, state, der, sha256, instance, reserved_at, issued_at, status,
               status_at, revocation_reason, crl_entry, actor)
           SELECT serial, id, authority, request_id, 'imported', 0, spki_sha256, names, common_name, not_before,
               not_after, state, der, sha256, instance, at, not_before, status, status_at, reason, entry, actor
           FROM i ORDER BY serial ON CONFLICT DO NOTHING RETURNING id
       ) SELECT i.n FROM i JOIN w USING (id)""",
    (
        "bytea", "uuid", "text", "text", "bytea", "jsonb", "text", "timestamptz", "timestamptz", "text", "bytea",
        "bytea", "uuid", "timestamptz", "text", "timestamptz", "int", "bytea", "text",
    ),
    rank=60,
)  # fmt: skip

#: Only an entry of the CRL is known of it so far.
KNOWN_BY_ENTRY = Guard(
    "certificate_known_by_entry",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN certificate c ON c.id = i.id AND c.state = 'burnt' AND c.der IS NULL ORDER BY c.id FOR UPDATE OF c""",
    ("uuid",),
    rank=60,
)

COMPLETE = Write(
    "certificate_complete",
    """UPDATE certificate c SET state = 'issued', der = i.der, sha256 = i.sha256, spki_sha256 = i.spki_sha256,
           names = i.names, common_name = i.common_name, not_before = i.not_before, not_after = i.not_after
       FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::jsonb[], $6::text[], $7::timestamptz[],
           $8::timestamptz[]) AS i(id, der, sha256, spki_sha256, names, common_name, not_before, not_after)
       WHERE c.id = i.id""",
    ("uuid", "bytea", "bytea", "bytea", "jsonb", "text", "timestamptz", "timestamptz"),
    rank=61,
)

_PRESENT = """SELECT serial, id, authority, state, sha256, status, status_version, status_at, revocation_reason
    FROM certificate WHERE serial = ANY($1::bytea[])"""


@dataclass(frozen=True, slots=True)
class Present:
    """A serial number that is taken."""

    id: UUID
    authority: str
    state: str
    sha256: bytes | None
    status: str
    status_version: int
    status_at: datetime
    reason: int | None


async def present(reader: Reader, serials: Sequence[bytes]) -> dict[bytes, Present]:
    """Those of ``serials`` that are taken, by whomever."""
    found: dict[bytes, Present] = {}
    for at in range(0, len(serials), 5_000):
        for row in await reader.fetch(_PRESENT, list(serials[at : at + 5_000])):
            found[row["serial"]] = Present(*tuple(row.values())[1:])
    return found
