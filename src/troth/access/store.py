"""The SQL of this room. Expired rows are swept by whoever writes next: the tables stay as small as their use."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from troth.access.model import Account, ApiToken, Invitation, Passkey, SessionRow
from troth.access.roles import Role
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

# --- accounts --------------------------------------------------------------------------------------------------

ACCOUNT_CLAIM = Claim(
    "account_claim",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                                       $7::timestamptz[], $8::text[], $9::text[])
                  AS t(n, name_key, id, name, role, password_hash, created_at, created_by, person)),
            w AS (INSERT INTO account (id, name, name_key, role, password_hash, created_at, created_by, person)
                  SELECT id, name, name_key, role, password_hash, created_at, created_by, person FROM i
                  ON CONFLICT (name_key) DO NOTHING RETURNING name_key)
       SELECT i.n FROM i JOIN w USING (name_key)""",
    ("text", "uuid", "text", "text", "text", "timestamptz", "text", "text"),
    rank=60,
)
#: Takes an invitation: it exists, has not expired, and if it is the bootstrap token, nobody came before.
INVITATION_TAKE = Claim(
    "invitation_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::timestamptz[]) AS t(n, token_hash, at)),
            w AS (DELETE FROM invitation v USING i
                  WHERE v.token_hash = i.token_hash AND v.expires_at > i.at
                    AND NOT (v.first AND EXISTS (SELECT 1 FROM account))
                  RETURNING v.token_hash)
       SELECT i.n FROM i JOIN w USING (token_hash)""",
    ("bytea", "timestamptz"),
    rank=50,
)
INVITATION_ADD = Write(
    "invitation_add",
    """INSERT INTO invitation (token_hash, first, role, name, expires_at, created_by, person)
       SELECT * FROM unnest($1::bytea[], $2::boolean[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
                            $7::text[])""",
    ("bytea", "boolean", "text", "text", "timestamptz", "text", "text"),
)
INVITATION_SWEEP = Write(
    "invitation_sweep",
    """DELETE FROM invitation v USING unnest($1::timestamptz[], $2::boolean[]) AS i(at, first)
       WHERE v.expires_at <= i.at OR (i.first AND v.first)""",
    ("timestamptz", "boolean"),
    rank=40,
)
#: The bootstrap token dies with the first account, whichever way that was made.
BOOTSTRAP_END = Write(
    "bootstrap_end",
    "DELETE FROM invitation v USING unnest($1::boolean[]) AS i(yes) WHERE v.first AND i.yes",
    ("boolean",),
    rank=41,
)
PASSWORD_SET = Write(
    "account_password_set",
    """UPDATE account a SET password_hash = i.password_hash
       FROM unnest($1::uuid[], $2::text[]) AS i(id, password_hash) WHERE a.id = i.id""",
    ("uuid", "text"),
)
ACCOUNT_STATE = Write(
    "account_state",
    "UPDATE account a SET state = i.state FROM unnest($1::uuid[], $2::text[]) AS i(id, state) WHERE a.id = i.id",
    ("uuid", "text"),
)

ACCOUNT_PERSON = Write(
    "account_person",
    "UPDATE account a SET person = i.person FROM unnest($1::uuid[], $2::text[]) AS i(id, person) WHERE a.id = i.id",
    ("uuid", "text"),
)
ACCOUNT_GONE = Write(
    "account_gone",
    """WITH i AS (SELECT * FROM unnest($1::uuid[]) AS u(id)),
            t AS (DELETE FROM api_token USING i WHERE account_id = i.id),
            k AS (DELETE FROM passkey USING i WHERE account_id = i.id)
       DELETE FROM account a USING i WHERE a.id = i.id""",
    ("uuid",),
    rank=70,
)
#: Locks an account whose ways to log in are about to change: it must keep one.
ACCOUNT_LOCK = Guard(
    "account_lock",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id) JOIN account a ON a.id = i.id
       ORDER BY a.id FOR UPDATE OF a""",
    ("uuid",),
)

# --- passkeys --------------------------------------------------------------------------------------------------

PASSKEY_CLAIM = Claim(
    "passkey_claim",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::uuid[], $4::bytea[], $5::bigint[], $6::text[],
                                       $7::timestamptz[])
                  AS t(n, credential_id, account_id, public_key, sign_count, label, created_at)),
            w AS (INSERT INTO passkey (credential_id, account_id, public_key, sign_count, label, created_at)
                  SELECT credential_id, account_id, public_key, sign_count, label, created_at FROM i
                  ON CONFLICT (credential_id) DO NOTHING RETURNING credential_id)
       SELECT i.n FROM i JOIN w USING (credential_id)""",
    ("bytea", "uuid", "bytea", "bigint", "text", "timestamptz"),
    rank=61,
)
PASSKEY_UNCHANGED = Guard(
    "passkey_unchanged",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[], $3::bigint[]) AS i(n, credential_id, sign_count)
       JOIN passkey p ON p.credential_id = i.credential_id AND p.sign_count = i.sign_count
       ORDER BY p.credential_id FOR UPDATE OF p""",
    ("bytea", "bigint"),
)
PASSKEY_USED = Write(
    "passkey_used",
    """UPDATE passkey p SET sign_count = i.sign_count, used_at = i.at
       FROM unnest($1::bytea[], $2::bigint[], $3::timestamptz[]) AS i(credential_id, sign_count, at)
       WHERE p.credential_id = i.credential_id""",
    ("bytea", "bigint", "timestamptz"),
)
PASSKEY_GONE = Write(
    "passkey_gone",
    """DELETE FROM passkey p USING unnest($1::bytea[], $2::uuid[]) AS i(credential_id, account_id)
       WHERE p.credential_id = i.credential_id AND p.account_id = i.account_id""",
    ("bytea", "uuid"),
)
CHALLENGE_ADD = Write(
    "passkey_challenge_add",
    """INSERT INTO passkey_challenge (challenge_hash, purpose, account_id, expires_at)
       SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::timestamptz[])""",
    ("bytea", "text", "uuid", "timestamptz"),
)
CHALLENGE_SWEEP = Write(
    "passkey_challenge_sweep",
    "DELETE FROM passkey_challenge c USING unnest($1::timestamptz[]) AS i(at) WHERE c.expires_at <= i.at",
    ("timestamptz",),
    rank=40,
)
#: Uses a challenge up: it is ours, for this purpose and account, fresh, and never answered before.
CHALLENGE_TAKE = Claim(
    "passkey_challenge_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::uuid[], $5::timestamptz[])
                  AS t(n, challenge_hash, purpose, account_id, at)),
            w AS (DELETE FROM passkey_challenge c USING i
                  WHERE c.challenge_hash = i.challenge_hash AND c.purpose = i.purpose AND c.expires_at > i.at
                    AND c.account_id IS NOT DISTINCT FROM i.account_id
                  RETURNING c.challenge_hash)
       SELECT i.n FROM i JOIN w USING (challenge_hash)""",
    ("bytea", "text", "uuid", "timestamptz"),
    rank=45,
)

# --- sessions --------------------------------------------------------------------------------------------------

SESSION_ADD = Write(
    "session_add",
    """INSERT INTO admin_session (id_hash, account_id, method, address, agent, created_at, seen_at, expires_at)
       SELECT id_hash, account_id, method, address, agent, at, at, expires_at
       FROM unnest($1::bytea[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])
            AS i(id_hash, account_id, method, address, agent, at, expires_at)""",
    ("bytea", "uuid", "text", "text", "text", "timestamptz", "timestamptz"),
)
SESSION_SEEN = Write(
    "session_seen",
    """UPDATE admin_session s SET seen_at = GREATEST(s.seen_at, i.at)
       FROM (SELECT id_hash, max(at) AS at FROM unnest($1::bytea[], $2::timestamptz[]) AS u(id_hash, at)
             GROUP BY id_hash) AS i WHERE s.id_hash = i.id_hash""",
    ("bytea", "timestamptz"),
)
SESSION_END = Write(
    "session_end",
    "DELETE FROM admin_session s USING unnest($1::bytea[]) AS i(id_hash) WHERE s.id_hash = i.id_hash",
    ("bytea",),
)
SESSIONS_END_OF = Write(
    "sessions_end_of",
    "DELETE FROM admin_session s USING unnest($1::uuid[]) AS i(account_id) WHERE s.account_id = i.account_id",
    ("uuid",),
    rank=40,
)
#: A new password or a removed passkey ends every other log-in.
SESSIONS_END_OTHERS = Write(
    "sessions_end_others",
    """DELETE FROM admin_session s USING unnest($1::uuid[], $2::bytea[]) AS i(account_id, kept)
       WHERE s.account_id = i.account_id AND s.id_hash IS DISTINCT FROM i.kept""",
    ("uuid", "bytea"),
    rank=40,
)
SESSION_SWEEP = Write(
    "session_sweep",
    """DELETE FROM admin_session s USING unnest($1::timestamptz[], $2::timestamptz[]) AS i(at, idle_since)
       WHERE s.expires_at <= i.at OR s.seen_at <= i.idle_since""",
    ("timestamptz", "timestamptz"),
    rank=40,
)

# --- API tokens ------------------------------------------------------------------------------------------------

TOKEN_ADD = Write(
    "api_token_add",
    """INSERT INTO api_token (id, secret_hash, name, role, account_id, created_by, created_at, expires_at)
       SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::uuid[], $6::text[],
                            $7::timestamptz[], $8::timestamptz[])""",
    ("uuid", "bytea", "text", "text", "uuid", "text", "timestamptz", "timestamptz"),
)
TOKEN_TAKE_BACK = Claim(
    "api_token_take_back",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[]) AS t(n, id)),
            w AS (DELETE FROM api_token a USING i WHERE a.id = i.id RETURNING a.id)
       SELECT i.n FROM i JOIN w USING (id)""",
    ("uuid",),
)
TOKEN_USED = Write(
    "api_token_used",
    """UPDATE api_token a SET used_at = i.at
       FROM (SELECT id, max(at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS u(id, at) GROUP BY id) AS i
       WHERE a.id = i.id""",
    ("uuid", "timestamptz"),
)

_ACCOUNT = """SELECT a.id, a.name, a.role, a.state, a.created_at, a.created_by, a.password_hash,
    (SELECT count(*) FROM passkey p WHERE p.account_id = a.id) AS passkeys,
    coalesce(a.person, a.name_key) AS person FROM account a """
_SESSION = "SELECT s.*, a.name, a.role, a.state FROM admin_session s JOIN account a ON a.id = s.account_id "
_BEARER = """SELECT t.id, t.name, t.role, t.account_id, t.created_by, t.created_at, t.expires_at, t.used_at
    FROM api_token t LEFT JOIN account a ON a.id = t.account_id """


def _account(row: Row) -> Account:
    return Account(
        row["id"],
        row["name"],
        Role(row["role"]),
        row["state"],
        row["created_at"],
        row["created_by"],
        row["password_hash"],
        row["passkeys"],
        row["person"],
    )


def _session(row: Row) -> SessionRow:
    return SessionRow(
        row["id_hash"],
        row["account_id"],
        row["method"],
        row["address"],
        row["agent"],
        row["created_at"],
        row["seen_at"],
        row["expires_at"],
    )


def _passkey(row: Row) -> Passkey:
    return Passkey(
        row["credential_id"],
        row["account_id"],
        row["public_key"],
        row["sign_count"],
        row["label"],
        row["created_at"],
        row["used_at"],
    )


def _token(row: Row) -> ApiToken:
    return ApiToken(
        row["id"],
        row["name"],
        Role(row["role"]),
        row["account_id"],
        row["created_by"],
        row["created_at"],
        row["expires_at"],
        row["used_at"],
    )


class AccessStore:
    """Reads of this room."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def any_account(self) -> bool:
        """Whether the first administrator has been made."""
        return bool(await self._reader.fetchval("SELECT EXISTS (SELECT 1 FROM account)"))

    async def account_named(self, name_key: str) -> Account | None:
        """The account of this folded name, in whatever state."""
        row = await self._reader.fetchrow(_ACCOUNT + "WHERE a.name_key = $1", name_key)
        return None if row is None else _account(row)

    async def account(self, account_id: UUID) -> Account | None:
        """The account by its id."""
        row = await self._reader.fetchrow(_ACCOUNT + "WHERE a.id = $1", account_id)
        return None if row is None else _account(row)

    async def accounts(self) -> list[Account]:
        """All accounts by name; they are few."""
        return [_account(row) for row in await self._reader.fetch(_ACCOUNT + "ORDER BY a.name_key")]

    async def invitation(self, token_hash: bytes, at: datetime) -> Invitation | None:
        """An open invitation, or None."""
        row = await self._reader.fetchrow(
            """SELECT * FROM invitation WHERE token_hash = $1 AND expires_at > $2
               AND NOT (first AND EXISTS (SELECT 1 FROM account))""",
            token_hash,
            at,
        )
        return None if row is None else _invitation(row)

    async def bootstrap_expiry(self) -> tuple[bytes, datetime] | None:
        """Hash and end of the bootstrap token, or None where there is none."""
        row = await self._reader.fetchrow("SELECT token_hash, expires_at FROM invitation WHERE first")
        return None if row is None else (row["token_hash"], row["expires_at"])

    async def session(self, id_hash: bytes, at: datetime, idle: timedelta) -> tuple[SessionRow, str, Role] | None:
        """A session still believed at ``at``, with its account's name and role."""
        row = await self._reader.fetchrow(
            _SESSION + "WHERE s.id_hash = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND a.state = 'active'",
            id_hash,
            at,
            at - idle,
        )
        return None if row is None else (_session(row), row["name"], Role(row["role"]))

    async def sessions_of(self, account_id: UUID, at: datetime) -> list[SessionRow]:
        """An account's sessions, latest first."""
        rows = await self._reader.fetch(
            _SESSION + "WHERE s.account_id = $1 AND s.expires_at > $2 ORDER BY s.created_at DESC", account_id, at
        )
        return [_session(row) for row in rows]

    async def passkey(self, credential_id: bytes) -> Passkey | None:
        """One credential, of an active account."""
        row = await self._reader.fetchrow(
            """SELECT p.* FROM passkey p JOIN account a ON a.id = p.account_id
               WHERE p.credential_id = $1 AND a.state = 'active'""",
            credential_id,
        )
        return None if row is None else _passkey(row)

    async def passkeys_of(self, account_id: UUID) -> list[Passkey]:
        """An account's credentials, oldest first."""
        rows = await self._reader.fetch("SELECT * FROM passkey WHERE account_id = $1 ORDER BY created_at", account_id)
        return [_passkey(row) for row in rows]

    async def challenge_account(self, challenge_hash: bytes, purpose: str, at: datetime) -> UUID | None:
        """For which account (perhaps one yet to be made) a fresh challenge was given out."""
        found: UUID | None = await self._reader.fetchval(
            "SELECT account_id FROM passkey_challenge WHERE challenge_hash = $1 AND purpose = $2 AND expires_at > $3",
            challenge_hash,
            purpose,
            at,
        )
        return found

    async def token(self, secret_hash: bytes, at: datetime) -> ApiToken | None:
        """A token that is in force: not expired, its account (if any) active."""
        row = await self._reader.fetchrow(
            _BEARER
            + """WHERE t.secret_hash = $1 AND t.expires_at > $2
                         AND (t.account_id IS NULL OR a.state = 'active')""",
            secret_hash,
            at,
        )
        return None if row is None else _token(row)

    async def tokens(self, at: datetime, account_id: UUID | None = None) -> list[ApiToken]:
        """Tokens in force, latest first: all, or those of one account."""
        rows = await self._reader.fetch(
            _BEARER
            + """WHERE t.expires_at > $1 AND ($2::uuid IS NULL OR t.account_id = $2)
                        ORDER BY t.created_at DESC LIMIT 500""",
            at,
            account_id,
        )
        return [_token(row) for row in rows]


def _invitation(row: Row) -> Invitation:
    return Invitation(
        row["token_hash"], row["first"], Role(row["role"]), row["name"], row["expires_at"], row["created_by"],
        row["person"],
    )  # fmt: skip
