-- Networks: what an SSID or a port is, and who may join it; revocation lists of others; what happened at each attempt.

CREATE TABLE network (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    -- Counts every change; TLS sessions that were begun under another version are not resumed.
    version int NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Of foreign issuers, verified when they were handed over. The newest complete one of an issuer is kept.
CREATE TABLE foreign_crl (
    -- SHA-256 of the issuer's name and key.
    issuer bytea PRIMARY KEY,
    issuer_name text NOT NULL,
    anchor text NOT NULL,
    number numeric NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    entries int NOT NULL,
    der bytea NOT NULL,
    taken_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- One row for each attempt to join, as the journal brought it. Partitioned by day, so that forgetting is dropping.
CREATE TABLE radius_conversation (
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    network text,
    nas text NOT NULL,
    mac text,
    user_name text NOT NULL,
    serial text NOT NULL,
    certificate_id uuid,
    subjects uuid[] NOT NULL,
    correlation text NOT NULL,
    class bytea,
    outcome text NOT NULL CHECK (outcome IN ('allow', 'restrict', 'quarantine', 'deny')),
    reason text NOT NULL,
    -- All of it, as troth.radius.admission.conversations has it.
    record jsonb NOT NULL,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX radius_conversation_id ON radius_conversation (id);
CREATE INDEX radius_conversation_mac ON radius_conversation (mac, id) WHERE mac IS NOT NULL;
CREATE INDEX radius_conversation_user ON radius_conversation (user_name, id) WHERE user_name <> '';
CREATE INDEX radius_conversation_serial ON radius_conversation (serial, id) WHERE serial <> '';
CREATE INDEX radius_conversation_correlation ON radius_conversation (correlation) WHERE correlation <> '';
CREATE INDEX radius_conversation_subjects ON radius_conversation USING gin (subjects);
-- What no day's partition takes: a clock that was set wrong, a journal that lay for weeks.
CREATE TABLE radius_conversation_other PARTITION OF radius_conversation DEFAULT;
