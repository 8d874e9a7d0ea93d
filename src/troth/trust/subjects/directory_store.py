"""SQL of applying a directory: subjects placed and removed, names, and the version that keeps two applies apart."""

from __future__ import annotations

from troth.store.statement import Claim, Guard, Write

UPDATE_SUBJECT = Write(
    "subject_update",
    """UPDATE subject s SET owner_id = i.owner_id, origin = i.origin, attributes = i.attributes, groups = i.groups,
                           protected = i.protected, confirmed_at = i.at
       FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::jsonb[], $6::boolean[], $7::timestamptz[])
            AS i(id, owner_id, origin, attributes, groups, protected, at)
       WHERE s.id = i.id""",
    ("uuid", "uuid", "text", "jsonb", "jsonb", "boolean", "timestamptz"),
    rank=22,
)

REMOVE_SUBJECT = Write(
    "subject_remove",
    """UPDATE subject s SET removed_at = i.at FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, at)
       WHERE s.id = i.id""",
    ("uuid", "timestamptz"),
    rank=23,
)

PUT_NAME = Write(
    "subject_name_put",
    """INSERT INTO subject_name (name, subject_id)
       SELECT * FROM unnest($1::text[], $2::uuid[]) ORDER BY 1
       ON CONFLICT (name) DO UPDATE SET subject_id = excluded.subject_id""",
    ("text", "uuid"),
    rank=25,
)

DROP_NAME = Write(
    "subject_name_drop",
    """DELETE FROM subject_name t USING unnest($1::text[], $2::uuid[]) AS i(name, subject_id)
       WHERE t.name = i.name AND t.subject_id = i.subject_id""",
    ("text", "uuid"),
    rank=24,
)

DROP_NAMES_OF = Write(
    "subject_name_drop_all",
    "DELETE FROM subject_name t USING unnest($1::uuid[]) AS i(id) WHERE t.subject_id = i.id",
    ("uuid",),
    rank=24,
)

DROP_FACTS = Write(
    "fact_drop",
    "DELETE FROM fact f USING unnest($1::uuid[]) AS i(id) WHERE f.subject_id = i.id",
    ("uuid",),
    rank=29,
)

DIRECTORY_UNCHANGED = Guard(
    "directory_unchanged",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::int[]) AS i(n, source, version)
       JOIN directory d ON d.source = i.source AND d.version = i.version ORDER BY d.source FOR UPDATE OF d""",
    ("text", "int"),
    rank=15,
)

FIRST_DIRECTORY = Claim(
    "directory_first",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
                  AS t(n, source, sha256, at, actor)),
       w AS (INSERT INTO directory (source, version, sha256, applied_at, actor)
             SELECT source, 1, sha256, at, actor FROM i ORDER BY source ON CONFLICT DO NOTHING RETURNING source)
       SELECT i.n FROM i JOIN w USING (source)""",
    ("text", "text", "timestamptz", "text"),
    rank=15,
)

NEXT_DIRECTORY = Write(
    "directory_next",
    """UPDATE directory d SET version = d.version + 1, sha256 = i.sha256, applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) AS i(source, sha256, at, actor)
       WHERE d.source = i.source""",
    ("text", "text", "timestamptz", "text"),
    rank=15,
)
