"""SQL of incidents: which certificates are to be renewed early, and when each one's turn is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row


@dataclass(frozen=True, slots=True)
class Selector:
    """Which certificates: those ordered over ACME that fit every field that is given.

    Attributes:
        key_algorithm: kind of the certificate's own key, as ``rsa2048``.
    """

    authority: str | None = None
    profile: str | None = None
    key_algorithm: str | None = None
    issued_after: datetime | None = None
    issued_before: datetime | None = None
    serials: tuple[bytes, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing narrows it."""
        return self == Selector()

    def text(self) -> str:
        """As it is stored and shown."""
        told = {
            "authority": self.authority,
            "profile": self.profile,
            "key_algorithm": self.key_algorithm,
            "issued_after": self.issued_after.isoformat() if self.issued_after else None,
            "issued_before": self.issued_before.isoformat() if self.issued_before else None,
            "serials": [one.hex() for one in self.serials],
        }
        return json.dumps({name: value for name, value in told.items() if value}, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Selector:
        """What :meth:`text` wrote."""
        told = json.loads(text)

        def time(name: str) -> datetime | None:
            return datetime.fromisoformat(told[name]) if name in told else None

        return cls(
            told.get("authority"),
            told.get("profile"),
            told.get("key_algorithm"),
            time("issued_after"),
            time("issued_before"),
            tuple(bytes.fromhex(one) for one in told.get("serials", ())),
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident.

    Attributes:
        state: ``spreading`` while the worker gives turns, ``running``, ``ended``.
        total: certificates that were found so far.
    """

    id: UUID
    selector: str
    note: str
    explanation_url: str
    per_minute: int
    state: str
    looked_at: UUID | None
    total: int
    actor: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an incident has come.

    Attributes:
        due: certificates whose turn has come.
        renewed: those in whose place a newer one was issued: by what its order said (``replaces``), or with the same
            names, since most clients say nothing.
        last_due: the last one's turn; None while there is none.
    """

    due: int
    renewed: int
    last_due: datetime | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate that a selector may mean; ``der`` where its key must be looked at."""

    id: UUID
    der: bytes


ADD_INCIDENT = Write(
    "renewal_incident_add",
    """INSERT INTO renewal_incident (id, selector, note, explanation_url, per_minute, state, actor, started_at)
       SELECT id, selector, note, explanation_url, per_minute, 'spreading', actor, started_at
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::timestamptz[])
           AS i(id, selector, note, explanation_url, per_minute, actor, started_at)""",
    ("uuid", "text", "text", "text", "int", "text", "timestamptz"),
)
#: Together the incidents that have not ended stay within what the installation may renew early in a minute.
ROOM_LEFT = Guard(
    "renewal_incident_room",
    """SELECT i.n FROM unnest($1::int[], $2::int[]) AS i(n, room)
       WHERE (SELECT COALESCE(sum(per_minute), 0) FROM renewal_incident WHERE state <> 'ended') <= i.room""",
    ("int",),
    rank=19,
)
SPREADING = Guard(
    "renewal_incident_spreading",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::uuid[]) AS i(n, id, looked_at)
       JOIN renewal_incident r ON r.id = i.id AND r.state = 'spreading'
           AND r.looked_at IS NOT DISTINCT FROM i.looked_at ORDER BY r.id FOR UPDATE OF r""",
    ("uuid", "uuid"),
    rank=20,
)
NOT_ENDED = Guard(
    "renewal_incident_not_ended",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN renewal_incident r ON r.id = i.id AND r.state <> 'ended' ORDER BY r.id FOR UPDATE OF r""",
    ("uuid",),
    rank=20,
)
ADD_ITEM = Write(
    "renewal_incident_item_add",
    """INSERT INTO renewal_incident_item (certificate_id, incident_id, due_at)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) ON CONFLICT DO NOTHING""",
    ("uuid", "uuid", "timestamptz"),
    rank=51,
)
ADVANCE = Write(
    "renewal_incident_advance",
    """UPDATE renewal_incident r SET looked_at = i.looked_at, total = r.total + i.found, state = i.state
       FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[]) AS i(id, looked_at, found, state)
       WHERE r.id = i.id""",
    ("uuid", "uuid", "int", "text"),
    rank=52,
)
END = Write(
    "renewal_incident_end",
    """UPDATE renewal_incident r SET state = 'ended', ended_at = i.ended_at
       FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, ended_at) WHERE r.id = i.id""",
    ("uuid", "timestamptz"),
)

#: In pages by id: issued over ACME, alive, not revoked (those have a window in the past anyway), and in nobody's place.
_CANDIDATES = """SELECT c.id, c.der FROM certificate c
    WHERE ($1::uuid IS NULL OR c.id > $1) AND c.state = 'issued' AND c.not_after > $2 AND c.status <> 'revoked'
      AND c.request_id LIKE 'acme:%'
      AND ($3::text IS NULL OR c.authority = $3)
      AND ($4::text IS NULL OR c.profile = $4)
      AND ($5::timestamptz IS NULL OR c.issued_at >= $5)
      AND ($6::timestamptz IS NULL OR c.issued_at < $6)
      AND (cardinality($7::bytea[]) = 0 OR c.serial = ANY($7::bytea[]))
      AND NOT EXISTS (SELECT 1 FROM acme_replacement r JOIN acme_order o ON o.id = r.order_id
                      WHERE r.certificate_id = c.id AND o.status = 'valid')
    ORDER BY c.id LIMIT $8"""
_INCIDENT = """SELECT id, selector, note, explanation_url, per_minute, state, looked_at, total, actor, started_at,
    ended_at FROM renewal_incident """
_PROGRESS = """SELECT count(*) FILTER (WHERE i.due_at <= $2) AS due,
        count(*) FILTER (WHERE o.status = 'valid' OR EXISTS (
            SELECT 1 FROM certificate_name e JOIN certificate n ON n.id = e.certificate_id
            WHERE e.name = reverse(c.names -> 0 ->> 1) AND e.certificate_id > c.id AND n.names = c.names
                AND n.state = 'issued')) AS renewed,
        max(i.due_at) AS last_due
    FROM renewal_incident_item i JOIN certificate c ON c.id = i.certificate_id
    LEFT JOIN acme_replacement r ON r.certificate_id = i.certificate_id
    LEFT JOIN acme_order o ON o.id = r.order_id
    WHERE i.incident_id = $1"""


class IncidentStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def candidates(self, selector: Selector, after: UUID | None, now: datetime, limit: int) -> list[Candidate]:
        """The next certificates that may be meant, by id."""
        rows = await self._reader.fetch(
            _CANDIDATES, after, now, selector.authority, selector.profile, selector.issued_after,
            selector.issued_before, list(selector.serials), limit,
        )  # fmt: skip
        return [Candidate(row["id"], bytes(row["der"])) for row in rows]

    async def incident(self, incident_id: UUID) -> Incident | None:
        """One incident."""
        row = await self._reader.fetchrow(_INCIDENT + "WHERE id = $1", incident_id)
        return None if row is None else _incident(row)

    async def incidents(self, limit: int = 50) -> list[Incident]:
        """The latest first."""
        rows = await self._reader.fetch(_INCIDENT + "ORDER BY id DESC LIMIT $1", limit)
        return [_incident(row) for row in rows]

    async def progress(self, incident_id: UUID, now: datetime) -> Progress:
        """How far it has come."""
        row = await self._reader.fetchrow(_PROGRESS, incident_id, now)
        return Progress(0, 0, None) if row is None else Progress(row["due"], row["renewed"], row["last_due"])


def _incident(row: Row) -> Incident:
    return Incident(**dict(row))
