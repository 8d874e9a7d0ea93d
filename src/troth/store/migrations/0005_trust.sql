-- Who is known, what is known of them, what the policies say, what was decided.

-- A user, device or workload. Removed subjects stay, since decisions and certificates speak of them.
CREATE TABLE subject (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'device', 'workload')),
    name text NOT NULL,
    owner_id uuid,
    -- Who speaks for this row: the source of the directory that declared it, or the door that met it first.
    origin text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',
    groups jsonb NOT NULL DEFAULT '[]',
    protected boolean NOT NULL DEFAULT false,
    standing text NOT NULL DEFAULT 'trusted' CHECK (standing IN ('trusted', 'restricted', 'quarantined', 'distrusted')),
    -- Counts every change of standing; a decision holds only while it stays what it was (guarded at commit).
    standing_version int NOT NULL DEFAULT 0,
    standing_since timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    -- When the origin last said all this, changed or not: the age of an attribute.
    confirmed_at timestamptz NOT NULL,
    removed_at timestamptz
);
CREATE UNIQUE INDEX subject_kind_name ON subject (kind, name) WHERE removed_at IS NULL;
CREATE INDEX subject_name_search ON subject (name text_pattern_ops);
CREATE INDEX subject_owner ON subject (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX subject_origin ON subject (origin) WHERE removed_at IS NULL;
CREATE INDEX subject_not_trusted ON subject (standing, id) WHERE standing <> 'trusted';

-- DNS names that belong to a subject; '*.lab.example' covers each name one label below.
CREATE TABLE subject_name (
    name text PRIMARY KEY,
    subject_id uuid NOT NULL
);
CREATE INDEX subject_name_subject ON subject_name (subject_id);

-- The latest word of each source on each attribute.
CREATE TABLE fact (
    subject_id uuid NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (subject_id, source, name)
);

-- One row per directory source: two applies at once must not both think they saw the present state.
CREATE TABLE directory (
    source text PRIMARY KEY,
    version int NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Every version of every policy, as it was applied; numbered through all policies. The newest of a name governs.
CREATE TABLE policy_version (
    number int NOT NULL UNIQUE,
    name text NOT NULL,
    version int NOT NULL,
    sha256 text NOT NULL,
    source text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (name, version)
);

-- What was decided, with all that it was decided from: judging the snapshot again gives the same record.
CREATE TABLE decision (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    subject_id uuid NOT NULL,
    moment text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('allow', 'restrict', 'quarantine', 'deny')),
    reason text NOT NULL,
    policy text,
    policy_version int,
    record bytea NOT NULL,
    snapshot bytea NOT NULL
);
CREATE INDEX decision_subject ON decision (subject_id, id);
