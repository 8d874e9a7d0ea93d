"""The SQL of the two-person rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.access.approvals.model import Act, Approval, Proposal
from troth.access.roles import Role
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

#: Whatever is done under the rule waits for its turn: what it previews then stands until its commit.
TAKE_TURN = Guard(
    "approval_turn",
    """SELECT i.n FROM unnest($1::int[], $2::boolean[]) AS i(n, one) JOIN approval_turn t ON t.one = i.one
       FOR UPDATE OF t""",
    ("boolean",),
    rank=5,
)
TURN: Final = "approval_turn"

_COLUMNS = (
    "id, kind, payload, act_hash, state_digest, words, lines, size, needed, roles, comment, actor, account_id, person,"
    " role, proposed_at, expires_at"
)
ADD_PROPOSAL = Write(
    "proposal_add",
    f"""INSERT INTO proposal ({_COLUMNS})
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::jsonb[],
            $8::int[], $9::int[], $10::jsonb[], $11::text[], $12::text[], $13::uuid[], $14::text[], $15::text[],
            $16::timestamptz[], $17::timestamptz[])""",
    ("uuid", "text", "text", "bytea", "bytea", "text", "jsonb", "int", "int", "jsonb", "text", "text", "uuid", "text",
     "text", "timestamptz", "timestamptz"),
)  # fmt: skip
#: The proposal is in one of two states, and locked.
LOCK_OPEN = Guard(
    "proposal_lock_open",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id) JOIN proposal p ON p.id = i.id
       WHERE p.state IN ('waiting', 'approved') ORDER BY p.id FOR UPDATE OF p""",
    ("uuid",),
)
LOCK_WAITING = Guard(
    "proposal_lock_waiting",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id) JOIN proposal p ON p.id = i.id
       WHERE p.state = 'waiting' ORDER BY p.id FOR UPDATE OF p""",
    ("uuid",),
)
LOCK_APPROVED = Guard(
    "proposal_lock_approved",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id) JOIN proposal p ON p.id = i.id
       WHERE p.state = 'approved' ORDER BY p.id FOR UPDATE OF p""",
    ("uuid",),
)
SET_STATE = Write(
    "proposal_state",
    """UPDATE proposal p SET state = i.state, settled_at = i.at, settled_by = i.by, settled_why = i.why
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) AS i(id, state, at, by, why)
       WHERE p.id = i.id""",
    ("uuid", "text", "timestamptz", "text", "text"),
)
ADD_APPROVAL = Claim(
    "approval_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::bytea[],
                                       $7::bytea[], $8::text[], $9::text[], $10::timestamptz[])
                  AS t(n, proposal_id, person, account_id, actor, credential_id, nonce, assertion, comment,
                       approved_at)),
            w AS (INSERT INTO approval (proposal_id, person, account_id, actor, credential_id, nonce, assertion,
                                        comment, approved_at)
                  SELECT proposal_id, person, account_id, actor, credential_id, nonce, assertion, comment, approved_at
                  FROM i ON CONFLICT DO NOTHING RETURNING proposal_id, person)
       SELECT i.n FROM i JOIN w USING (proposal_id, person)""",
    ("uuid", "text", "uuid", "text", "bytea", "bytea", "text", "text", "timestamptz"),
    rank=62,
)
CLAIM_EXECUTION = Claim(
    "proposal_execution_claim",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::timestamptz[], $4::text[])
                  AS t(n, proposal_id, executed_at, actor)),
            w AS (INSERT INTO proposal_execution (proposal_id, executed_at, actor)
                  SELECT proposal_id, executed_at, actor FROM i ON CONFLICT DO NOTHING RETURNING proposal_id)
       SELECT i.n FROM i JOIN w USING (proposal_id)""",
    ("uuid", "timestamptz", "text"),
    rank=44,
)
ADD_RULE = Claim(
    "approval_rule_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::bytea[], $5::timestamptz[], $6::text[])
                  AS t(n, version, document, sha256, applied_at, actor)),
            w AS (INSERT INTO approval_rule (version, document, sha256, applied_at, actor)
                  SELECT version, document, sha256, applied_at, actor FROM i ON CONFLICT DO NOTHING
                  RETURNING version)
       SELECT i.n FROM i JOIN w USING (version)""",
    ("int", "text", "bytea", "timestamptz", "text"),
    rank=55,
)

_PROPOSAL = f"SELECT {_COLUMNS}, state, settled_at, settled_by, settled_why FROM proposal "
_RULE = "SELECT version, document, applied_at, actor FROM approval_rule ORDER BY version DESC LIMIT 1"
_APPROVALS = """SELECT proposal_id, person, account_id, actor, credential_id, nonce, assertion, comment, approved_at
    FROM approval WHERE proposal_id = ANY($1::uuid[]) ORDER BY approved_at, person"""
#: Persons who could approve: active, in a role that counts, with a passkey.
_ELIGIBLE = """SELECT DISTINCT coalesce(a.person, a.name_key) AS person FROM account a
    WHERE a.state = 'active' AND a.role = ANY($1::text[])
      AND EXISTS (SELECT 1 FROM passkey p WHERE p.account_id = a.id) ORDER BY 1"""
#: The persons behind some accounts now: those that are active and in a role that counts.
_STANDING = """SELECT a.id, coalesce(a.person, a.name_key) AS person FROM account a
    WHERE a.id = ANY($1::uuid[]) AND a.state = 'active' AND a.role = ANY($2::text[])"""
_PERSON = "SELECT coalesce(person, name_key) FROM account WHERE id = $1"
_OPEN = "SELECT count(*) FROM proposal WHERE state IN ('waiting', 'approved')"
_COUNTS = "SELECT state, count(*) AS n FROM proposal GROUP BY state"


class ApprovalStore:
    """Reads of the two-person rule."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def proposal(self, proposal_id: UUID) -> Proposal | None:
        """One proposal with its approvals."""
        row = await self._reader.fetchrow(_PROPOSAL + "WHERE id = $1", proposal_id)
        return None if row is None else (await self._complete([row]))[0]

    async def proposals(self, states: Sequence[str], *, limit: int = 200) -> list[Proposal]:
        """Those in one of ``states``, latest first."""
        rows = await self._reader.fetch(
            _PROPOSAL + "WHERE state = ANY($1::text[]) ORDER BY proposed_at DESC, id LIMIT $2", list(states), limit
        )
        return await self._complete(rows)

    async def lapsed(self, at: datetime, limit: int = 100) -> list[Proposal]:
        """Open ones whose time is over."""
        rows = await self._reader.fetch(
            _PROPOSAL + "WHERE state IN ('waiting', 'approved') AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
            at,
            limit,
        )
        return await self._complete(rows)

    async def counts(self) -> dict[str, int]:
        """How many proposals there are in each state."""
        return {row["state"]: row["n"] for row in await self._reader.fetch(_COUNTS)}

    async def open(self) -> int:
        """How many wait for somebody."""
        return int(await self._reader.fetchval(_OPEN))

    async def approvals(self, proposal_id: UUID) -> tuple[Approval, ...]:
        """Those of one proposal, oldest first."""
        return tuple(Approval(**dict(row)) for row in await self._reader.fetch(_APPROVALS, [proposal_id]))

    async def _complete(self, rows: Sequence[Row]) -> list[Proposal]:
        found: dict[UUID, list[Approval]] = {row["id"]: [] for row in rows}
        if found:
            for row in await self._reader.fetch(_APPROVALS, list(found)):
                found[row["proposal_id"]].append(Approval(**dict(row)))
        return [_proposal(row, tuple(found[row["id"]])) for row in rows]

    async def rule(self) -> tuple[int, str, datetime, str] | None:
        """Version, document, time and actor of the rule in force; None while there never was one."""
        row = await self._reader.fetchrow(_RULE)
        return None if row is None else tuple(row.values())

    async def eligible(self, roles: Sequence[str]) -> list[str]:
        """Persons who could approve in one of ``roles``."""
        return [row["person"] for row in await self._reader.fetch(_ELIGIBLE, list(roles))]

    async def standing(self, accounts: Sequence[UUID], roles: Sequence[str]) -> dict[UUID, str]:
        """Account → person, of those accounts that are active and in one of ``roles`` now."""
        rows = await self._reader.fetch(_STANDING, list(accounts), list(roles))
        return {row["id"]: row["person"] for row in rows}

    async def person(self, account_id: UUID) -> str | None:
        """Whose account this is now."""
        found: str | None = await self._reader.fetchval(_PERSON, account_id)
        return found


def values(one: Proposal) -> tuple[object, ...]:
    """``one`` as a row of ADD_PROPOSAL."""
    return (
        one.id, one.act.kind, one.act.payload.decode(), one.act_hash, one.state_digest, one.words,
        json.dumps(one.lines), one.size, one.needed, json.dumps(sorted(role.value for role in one.roles)),
        one.comment, one.actor, one.account_id, one.person, one.role.value, one.proposed_at, one.expires_at,
    )  # fmt: skip


def _proposal(row: Row, approvals: tuple[Approval, ...]) -> Proposal:
    return Proposal(
        id=row["id"],
        act=Act(row["kind"], row["payload"].encode()),
        act_hash=row["act_hash"],
        state_digest=row["state_digest"],
        words=row["words"],
        lines=tuple(json.loads(row["lines"])),
        size=row["size"],
        needed=row["needed"],
        roles=frozenset(Role(role) for role in json.loads(row["roles"])),
        comment=row["comment"],
        actor=row["actor"],
        account_id=row["account_id"],
        person=row["person"],
        role=Role(row["role"]),
        proposed_at=row["proposed_at"],
        expires_at=row["expires_at"],
        state=row["state"],
        settled_at=row["settled_at"],
        settled_by=row["settled_by"],
        settled_why=row["settled_why"],
        approvals=approvals,
    )
