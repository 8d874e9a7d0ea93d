-- What follows from a change of standing outside this house: who is told, what is cut off elsewhere, and how it went.

-- Every version of the document that says which standing leads to which effect. The newest governs; 0 is the shipped one.
CREATE TABLE reaction_document (
    version int PRIMARY KEY CHECK (version > 0),
    sha256 text NOT NULL,
    source text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- One effect at one target, written in the transaction that changes the standing. Its id is the idempotency key.
CREATE TABLE effect (
    id uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    -- The order of effects about one subject: of two changes the later has the higher number, under the subject's lock.
    standing_version int NOT NULL,
    port text NOT NULL,
    target text NOT NULL,
    -- Whether it changes something there; otherwise it only tells.
    acting boolean NOT NULL,
    -- The port that takes it back once the subject stands better; empty when nothing shall.
    undo text NOT NULL DEFAULT '',
    undone boolean NOT NULL DEFAULT false,
    notice jsonb NOT NULL,
    signal_id uuid NOT NULL,
    actor text NOT NULL,
    -- Not by a person's order: a freeze stops it.
    automated boolean NOT NULL,
    accepted_at timestamptz NOT NULL,
    planned_at timestamptz NOT NULL,
    due timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    lease_until timestamptz,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'done', 'dead', 'superseded', 'unavailable', 'dropped')),
    ended_at timestamptz,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX effect_due ON effect (target, due) WHERE state = 'waiting';
CREATE INDEX effect_lane ON effect (subject_id, target, standing_version, id) WHERE state = 'waiting';
CREATE INDEX effect_open ON effect (subject_id)
    WHERE state = 'waiting' OR (undo <> '' AND NOT undone AND state IN ('done', 'dead'));
CREATE INDEX effect_subject ON effect (subject_id, id);
CREATE INDEX effect_state ON effect (state, id);
CREATE INDEX effect_ended ON effect (ended_at) WHERE ended_at IS NOT NULL;
ALTER TABLE effect SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- How each target has answered lately: what the circuit breaker knows, shown to people and kept over a restart.
CREATE TABLE effect_target (
    name text PRIMARY KEY,
    failures int NOT NULL,
    open_until timestamptz,
    last_error text NOT NULL,
    failed_at timestamptz,
    done_at timestamptz
);

-- Seconds from the signal accepted to the effect done, as a histogram that only grows.
CREATE TABLE effect_latency (
    port text NOT NULL,
    -- Upper bound in milliseconds; -1 beyond the last.
    bound int NOT NULL,
    number bigint NOT NULL,
    milliseconds bigint NOT NULL,
    PRIMARY KEY (port, bound)
);

-- What a target needs to know us: the secret of its signatures, its password, the address of its chat room.
CREATE TABLE effect_secret (
    target text PRIMARY KEY,
    sealed bytea NOT NULL,
    changed_at timestamptz NOT NULL,
    actor text NOT NULL
);
