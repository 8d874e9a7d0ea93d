-- Keys that are never certified again, and what the second looks at what was issued have found.

-- spki is null where nothing but the hash was given.
CREATE TABLE blocked_key (
    spki_sha256 bytea PRIMARY KEY,
    spki bytea,
    reason text NOT NULL CHECK (reason IN ('compromised', 'weak')),
    source text NOT NULL,
    note text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    actor text NOT NULL
);
CREATE INDEX blocked_key_at ON blocked_key (at DESC, spki_sha256);

-- One row per object and code. A finding that is not found again by a later look is cleared, not deleted.
CREATE TABLE finding (
    object text NOT NULL,
    code text NOT NULL,
    source text NOT NULL CHECK (source IN ('lint', 'audit')),
    severity text NOT NULL,
    detail text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    cleared_at timestamptz,
    PRIMARY KEY (object, code)
);
CREATE INDEX finding_last ON finding (last_at DESC, object, code);
CREATE INDEX finding_open ON finding (source, code) WHERE cleared_at IS NULL;

-- How far a walk over the certificates has come, so that a restart goes on where it was.
CREATE TABLE inspection (
    name text PRIMARY KEY,
    position uuid,
    looked bigint NOT NULL DEFAULT 0,
    found bigint NOT NULL DEFAULT 0,
    began_at timestamptz,
    ended_at timestamptz,
    moved_at timestamptz
);
