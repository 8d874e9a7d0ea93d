-- The ledger. Writers put events into the inbox in their own transaction; the sequencer moves them into the
-- log, giving each the next index. Nothing but the sequencer writes ledger_event, and nothing changes a row.

CREATE TABLE ledger_inbox (
    id uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    payload bytea NOT NULL,
    salt bytea NOT NULL
);
ALTER TABLE ledger_inbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- payload is the canonical JSON that was hashed; kind, actor and recorded_at are copies of what it says.
CREATE TABLE ledger_event (
    idx bigint NOT NULL,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    payload bytea,
    salt bytea,
    leaf bytea NOT NULL,
    PRIMARY KEY (idx)
) PARTITION BY RANGE (idx);
-- Further partitions are made ahead by the sequencer (troth.audit.store.PARTITION_SIZE).
CREATE TABLE ledger_event_p0 PARTITION OF ledger_event FOR VALUES FROM (0) TO (5000000);

CREATE TABLE ledger_subject (
    ref text NOT NULL,
    idx bigint NOT NULL,
    PRIMARY KEY (ref, idx)
);

-- One row: how far the log has come. frontier holds the RFC 6962 subtree roots, largest first.
CREATE TABLE ledger_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL,
    frontier bytea[] NOT NULL,
    root bytea NOT NULL,
    newest_at timestamptz
);
INSERT INTO ledger_head (size, frontier, root)
VALUES (0, '{}', '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

-- Checkpoints that the notary has signed.
CREATE TABLE ledger_checkpoint (
    size bigint PRIMARY KEY,
    root bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);

-- Decision points (status and RADIUS workers): how far each has applied the stream, and until when it vouches.
CREATE TABLE stream_point (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    idx bigint NOT NULL,
    lease_until timestamptz NOT NULL
);
