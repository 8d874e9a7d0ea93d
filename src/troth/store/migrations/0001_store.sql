-- Who runs, who has which duty, what is to be done.

-- One row per running process; the lease tells the living from the dead.
CREATE TABLE instance (
    id uuid PRIMARY KEY,
    role text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    started_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- A duty that only one process has at a time. Every write done under it checks the epoch (fencing).
CREATE TABLE lease (
    name text PRIMARY KEY,
    holder uuid NOT NULL,
    epoch bigint NOT NULL,
    lease_until timestamptz NOT NULL
);

CREATE TABLE job (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'leased', 'dead')),
    due timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    lease_until timestamptz,
    last_error text,
    UNIQUE (kind, key)
);
CREATE INDEX job_due ON job (due) WHERE state <> 'dead';
ALTER TABLE job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
