-- Rollovers from one authority to the next, certificates across hierarchies, and foreign roots for validation.

CREATE TABLE rollover (
    id uuid PRIMARY KEY,
    outgoing text NOT NULL,
    incoming text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('trust', 'coverage', 'issue', 'drain', 'retired', 'backed-out')),
    -- Per cent of trust stores that must be known to trust the new root.
    threshold int NOT NULL CHECK (threshold BETWEEN 1 AND 100),
    -- Days within which certificates of the outgoing authority are to be renewed once it is drained.
    drain_days int NOT NULL CHECK (drain_days BETWEEN 1 AND 3650),
    started_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    -- Set while it is drained: certificates of the outgoing authority should be renewed by then, whatever their end.
    renew_by timestamptz,
    actor text NOT NULL
);
CREATE UNIQUE INDEX rollover_open ON rollover (outgoing) WHERE stage NOT IN ('retired', 'backed-out');

-- What a person vouches for where nothing can be measured. The latest counts.
CREATE TABLE rollover_attestation (
    id uuid PRIMARY KEY,
    rollover_id uuid NOT NULL,
    percent int NOT NULL CHECK (percent BETWEEN 0 AND 100),
    reason text NOT NULL,
    actor text NOT NULL,
    attested_at timestamptz NOT NULL
);
CREATE INDEX rollover_attestation_latest ON rollover_attestation (rollover_id, id DESC);

-- A second certificate for the key of an authority here, by another one: whoever trusts that one can follow.
CREATE TABLE cross_certificate (
    sha256 bytea PRIMARY KEY,
    authority text NOT NULL,
    issuer text NOT NULL,
    certificate bytea NOT NULL,
    not_after timestamptz NOT NULL,
    added_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Roots of others: for judging what they issued, never to be handed out as ours.
CREATE TABLE trust_anchor (
    sha256 bytea PRIMARY KEY,
    name text NOT NULL,
    certificate bytea NOT NULL,
    purposes jsonb NOT NULL,
    not_after timestamptz NOT NULL,
    added_at timestamptz NOT NULL,
    actor text NOT NULL
);
