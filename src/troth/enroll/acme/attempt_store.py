"""SQL of what went wrong in validations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader

ADD_ATTEMPT = Write(
    "acme_add_attempt",
    """INSERT INTO acme_attempt (id, authz_id, account_id, name, method, outcome, reason, detail, record, at)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
           $8::text[], $9::jsonb[], $10::timestamptz[])""",
    ("uuid", "uuid", "uuid", "text", "text", "text", "text", "text", "jsonb", "timestamptz"),
)

#: By index each: the name, the account, or the time alone.
_LATEST = """SELECT id, authz_id, account_id, name, method, outcome, reason, detail, record, at FROM acme_attempt """


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """One try of one challenge.

    Attributes:
        outcome: ``again`` if it is tried once more, ``invalid`` if that was the last, ``valid`` after failed ones.
        record: each look-up and connection on the way: target, address, result.
    """

    id: UUID
    authz_id: UUID
    account_id: UUID
    name: str
    method: str
    outcome: str
    reason: str
    detail: str
    record: list[dict[str, Any]]
    at: datetime


class AttemptStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def latest(self, *, name: str = "", account: UUID | None = None, limit: int = 50) -> list[StoredAttempt]:
        """The latest first; of one name, of one account, or of all."""
        if name:
            rows = await self._reader.fetch(_LATEST + "WHERE name = $1 ORDER BY id DESC LIMIT $2", name, limit)
        elif account is not None:
            rows = await self._reader.fetch(_LATEST + "WHERE account_id = $1 ORDER BY id DESC LIMIT $2", account, limit)
        else:
            rows = await self._reader.fetch(_LATEST + "ORDER BY at DESC LIMIT $1", limit)
        return [StoredAttempt(**{**dict(row), "record": json.loads(row["record"])}) for row in rows]
