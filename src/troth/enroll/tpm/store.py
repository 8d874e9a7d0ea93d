"""SQL of the attestation CA: registered TPMs and open challenges."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from troth.enroll.tpm.endorsement import Make
from troth.enroll.tpm.model import Challenge, RegisteredTpm
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

ADD_TPM = Claim(
    "tpm_add",
    """WITH i AS (
           SELECT * FROM unnest($1::int[], $2::bytea[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
               $8::timestamptz[], $9::text[])
               AS t(n, ek_sha256, device_id, identifier, manufacturer, model, version, at, actor)
       ), w AS (
           INSERT INTO tpm (ek_sha256, device_id, identifier, manufacturer, model, version, added_at, actor)
           SELECT ek_sha256, device_id, identifier, manufacturer, model, version, at, actor FROM i
           ON CONFLICT DO NOTHING RETURNING ek_sha256
       ) SELECT i.n FROM i JOIN w USING (ek_sha256)""",
    ("bytea", "uuid", "text", "text", "text", "text", "timestamptz", "text"),
)
TPM_THERE = Guard(
    "tpm_there",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[], $3::uuid[]) AS i(n, ek_sha256, device_id)
       JOIN tpm t ON t.ek_sha256 = i.ek_sha256 AND t.device_id = i.device_id ORDER BY t.ek_sha256 FOR UPDATE OF t""",
    ("bytea", "uuid"),
    rank=18,
)
#: No other device has this identifier.
IDENTIFIER_OWN = Guard(
    "tpm_identifier_own",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::uuid[]) AS i(n, identifier, device_id)
       WHERE NOT EXISTS (SELECT FROM tpm t WHERE t.identifier = i.identifier AND t.device_id <> i.device_id)""",
    ("text", "uuid"),
    rank=18,
)
REMOVE_TPM = Write(
    "tpm_remove",
    "DELETE FROM tpm t USING unnest($1::bytea[]) AS i(ek_sha256) WHERE t.ek_sha256 = i.ek_sha256",
    ("bytea",),
)
ATTESTED = Write(
    "tpm_attested",
    """UPDATE tpm t SET attested_at = i.at FROM unnest($1::bytea[], $2::timestamptz[]) AS i(ek_sha256, at)
       WHERE t.ek_sha256 = i.ek_sha256""",
    ("bytea", "timestamptz"),
)
ADD_CHALLENGE = Write(
    "tpm_challenge_add",
    """INSERT INTO tpm_challenge
           (secret_sha256, id, ek_sha256, spki, name, manufacturer, model, version, expires_at)
       SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[], $7::text[],
           $8::text[], $9::timestamptz[])""",
    ("bytea", "uuid", "bytea", "bytea", "bytea", "text", "text", "text", "timestamptz"),
)
#: Expired ones go with every new one, so that no job has to sweep.
SWEEP_CHALLENGES = Write(
    "tpm_challenge_sweep",
    "DELETE FROM tpm_challenge c USING unnest($1::timestamptz[]) AS i(now) WHERE c.expires_at <= i.now",
    ("timestamptz",),
)
CHALLENGE_OPEN = Guard(
    "tpm_challenge_open",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[], $3::timestamptz[]) AS i(n, secret_sha256, now)
       JOIN tpm_challenge c ON c.secret_sha256 = i.secret_sha256 AND c.expires_at > i.now
       ORDER BY c.secret_sha256 FOR UPDATE OF c""",
    ("bytea", "timestamptz"),
    rank=19,
)
CLOSE_CHALLENGE = Write(
    "tpm_challenge_close",
    "DELETE FROM tpm_challenge c USING unnest($1::bytea[]) AS i(secret_sha256) WHERE c.secret_sha256 = i.secret_sha256",
    ("bytea",),
)
_TPM = "ek_sha256, device_id, identifier, manufacturer, model, version, added_at, actor, attested_at"
_CHALLENGE = "secret_sha256, id, ek_sha256, spki, name, manufacturer, model, version, expires_at"


class TpmStore:
    """Reading them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def tpm(self, ek_sha256: bytes) -> RegisteredTpm | None:
        """The TPM of this endorsement key."""
        row = await self._reader.fetchrow(f"SELECT {_TPM} FROM tpm WHERE ek_sha256 = $1", ek_sha256)
        return None if row is None else _tpm(row)

    async def of_device(self, device_id: UUID) -> list[RegisteredTpm]:
        """A device's TPMs, oldest first; more than one where its board was exchanged."""
        rows = await self._reader.fetch(
            f"SELECT {_TPM} FROM tpm WHERE device_id = $1 ORDER BY added_at, ek_sha256", device_id
        )
        return [_tpm(row) for row in rows]

    async def of_identifier(self, identifier: str) -> list[RegisteredTpm]:
        """The TPMs registered with a permanent identifier."""
        rows = await self._reader.fetch(f"SELECT {_TPM} FROM tpm WHERE identifier = $1 ORDER BY ek_sha256", identifier)
        return [_tpm(row) for row in rows]

    async def page(self, *, after: bytes, limit: int) -> list[RegisteredTpm]:
        """By endorsement key, those after ``after``."""
        rows = await self._reader.fetch(
            f"SELECT {_TPM} FROM tpm WHERE ek_sha256 > $1 ORDER BY ek_sha256 LIMIT $2", after, limit
        )
        return [_tpm(row) for row in rows]

    async def known(self, ek_sha256: Sequence[bytes]) -> list[RegisteredTpm]:
        """Those of ``ek_sha256`` that are registered."""
        rows = await self._reader.fetch(f"SELECT {_TPM} FROM tpm WHERE ek_sha256 = ANY($1)", list(ek_sha256))
        return [_tpm(row) for row in rows]

    async def challenge(self, secret_sha256: bytes) -> Challenge | None:
        """The open challenge of this secret, expired or not."""
        row = await self._reader.fetchrow(
            f"SELECT {_CHALLENGE} FROM tpm_challenge WHERE secret_sha256 = $1", secret_sha256
        )
        if row is None:
            return None
        values = dict(row)
        maker, model, version = (values.pop(name) for name in ("manufacturer", "model", "version"))
        return Challenge(**values, make=None if maker is None else Make(maker, model, version))


def _tpm(row: Row) -> RegisteredTpm:
    values = dict(row)
    make = Make(*(values.pop(name) for name in ("manufacturer", "model", "version")))
    return RegisteredTpm(**values, make=make)
