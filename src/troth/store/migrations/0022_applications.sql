-- Applications that ask whether to let somebody in, and what they were answered.

CREATE TABLE application (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- SHA-256 of its token; the former one is good until former_until.
    token_hash bytea NOT NULL,
    former_hash bytea,
    former_until timestamptz,
    -- SHA-256 of the certificate that it shows itself, if it must.
    certificate_sha256 bytea,
    -- Whose policy judges a subject that shows no certificate; none: only certificates are answered.
    profile text,
    -- Profiles of the certificates that count there; empty: all.
    profiles jsonb NOT NULL DEFAULT '[]',
    least text NOT NULL CHECK (least IN ('allow', 'restrict')),
    per_second int NOT NULL,
    created_at timestamptz NOT NULL,
    actor text NOT NULL,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX application_name ON application (name) WHERE revoked_at IS NULL;
CREATE INDEX application_token ON application (token_hash);
CREATE INDEX application_former ON application (former_hash) WHERE former_hash IS NOT NULL;

-- Counters, for pages and metrics.
CREATE TABLE application_count (
    application_id uuid NOT NULL,
    result text NOT NULL,
    number bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (application_id, result)
);
