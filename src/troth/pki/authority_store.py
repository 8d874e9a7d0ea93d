"""SQL of authorities and of the versions of certificate profiles."""

from __future__ import annotations

import json
from datetime import datetime

from troth.pki.authorities import Authority
from troth.pki.issuer_classes import issuer_classes
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

ADD_AUTHORITY = Claim(
    "authority_add",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::text[],
               $9::text[], $10::boolean[], $11::text[], $12::text[], $13::text[], $14::timestamptz[],
               $15::timestamptz[], $16::jsonb[], $17::text[])
           AS t(n, slug, name, kind, parent, certificate, sha256, key_id, state, trial, ca_issuers_url, ocsp_url,
                crl_url, not_after, created_at, issuer_classes, actor)
       ), w AS (
           INSERT INTO authority (slug, name, kind, parent, certificate, sha256, key_id, state, trial, ca_issuers_url,
               ocsp_url, crl_url, not_after, created_at, issuer_classes, actor)
           SELECT slug, name, kind, parent, certificate, sha256, key_id, state, trial, ca_issuers_url, ocsp_url,
               crl_url, not_after, created_at, issuer_classes, actor FROM i ON CONFLICT DO NOTHING RETURNING slug
       ) SELECT i.n FROM i JOIN w USING (slug)""",
    (
        "text",
        "text",
        "text",
        "text",
        "bytea",
        "bytea",
        "text",
        "text",
        "boolean",
        "text",
        "text",
        "text",
        "timestamptz",
        "timestamptz",
        "jsonb",
        "text",
    ),
    rank=55,
)

#: The authority is in the state from which it is about to be moved, and locked.
AUTHORITY_IN_STATE = Guard(
    "authority_in_state",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::text[]) AS i(n, slug, state)
       JOIN authority a ON a.slug = i.slug AND a.state = i.state ORDER BY a.slug FOR UPDATE OF a""",
    ("text", "text"),
)

SET_AUTHORITY_STATE = Write(
    "authority_set_state",
    """UPDATE authority a SET state = i.state FROM unnest($1::text[], $2::text[]) AS i(slug, state)
       WHERE a.slug = i.slug""",
    ("text", "text"),
    rank=55,
)

#: Shards are only ever raised: certificates that name one rely on its CRL until they expire.
SET_CRLS = Write(
    "authority_set_crls",
    """UPDATE authority a SET crl_shards = greatest(a.crl_shards, i.shards), crl_deltas = i.deltas
       FROM unnest($1::text[], $2::int[], $3::boolean[]) AS i(slug, shards, deltas) WHERE a.slug = i.slug""",
    ("text", "int", "boolean"),
    rank=55,
)

ADD_PROFILE = Claim(
    "profile_version_add",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::text[], $3::int[], $4::bytea[], $5::text[], $6::timestamptz[], $7::text[])
           AS t(n, name, version, digest, document, applied_at, actor)
       ), w AS (
           INSERT INTO profile_version (name, version, digest, document, applied_at, actor)
           SELECT name, version, digest, document, applied_at, actor FROM i ON CONFLICT DO NOTHING
           RETURNING name, version
       ) SELECT i.n FROM i JOIN w USING (name, version)""",
    ("text", "int", "bytea", "text", "timestamptz", "text"),
    rank=55,
)

_AUTHORITIES = """SELECT slug, name, kind, parent, certificate, key_id, state, trial, ca_issuers_url, ocsp_url, crl_url,
    created_at, crl_shards, crl_deltas, issuer_classes FROM authority ORDER BY created_at, slug"""
_PROFILE_HISTORY = """SELECT name, version, digest, document, applied_at, actor FROM profile_version
    WHERE name = $1 ORDER BY version DESC LIMIT 200"""
_PROFILES = """SELECT DISTINCT ON (name) name, version, digest, document, applied_at, actor FROM profile_version
    ORDER BY name, version DESC"""


def authority(row: Row) -> Authority:
    """A row of ``authority``."""
    return Authority(**dict(row) | {"issuer_classes": issuer_classes(json.loads(row["issuer_classes"]))})


class AuthorityStore:
    """Finding authorities and profiles."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def authorities(self) -> list[Authority]:
        """All, oldest first."""
        return [authority(row) for row in await self._reader.fetch(_AUTHORITIES)]

    async def profile_history(self, name: str) -> list[tuple[str, int, bytes, str, datetime, str]]:
        """Every version of one profile, latest first, as :meth:`profiles` gives them."""
        return [tuple(row.values()) for row in await self._reader.fetch(_PROFILE_HISTORY, name)]

    async def profiles(self) -> list[tuple[str, int, bytes, str, datetime, str]]:
        """(name, version, digest, document, applied at, actor) of the newest version of each profile."""
        return [tuple(row.values()) for row in await self._reader.fetch(_PROFILES)]
