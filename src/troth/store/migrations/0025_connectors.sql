-- Other people's systems: who is read from and listened to, how far each was read, and what is written down of what
-- they said and not yet acted on.

CREATE TABLE connector (
    name text PRIMARY KEY,
    vendor text NOT NULL,
    -- Whose grants bind what it brings.
    feed text NOT NULL,
    definition jsonb NOT NULL,
    -- Counts every change, those of secrets included: whoever runs it starts anew.
    version int NOT NULL,
    paused boolean NOT NULL,
    reason text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);
CREATE INDEX connector_feed ON connector (feed);

-- Sealed with the key in secrets/connectors.secret.
CREATE TABLE connector_secret (
    connector text NOT NULL,
    kind text NOT NULL,
    sealed bytea NOT NULL,
    set_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (connector, kind)
);

-- One row for each thing that a connector reads. The cursor is written with the signals that it covers.
CREATE TABLE connector_read (
    connector text NOT NULL,
    read text NOT NULL,
    cursor jsonb,
    -- The last pull ended before all that there was had been read.
    more boolean NOT NULL DEFAULT false,
    -- Of the last pull that succeeded.
    pulled_at timestamptz,
    latency_ms int,
    -- Signals and facts brought so far; the newest moment that anything of it was observed at.
    signals bigint NOT NULL DEFAULT 0,
    facts bigint NOT NULL DEFAULT 0,
    observed_at timestamptz,
    -- Failures since the last success, and how the last of them was called.
    failures int NOT NULL DEFAULT 0,
    failed_at timestamptz,
    code text,
    detail text,
    PRIMARY KEY (connector, read)
);

-- Accepted, durable, not yet acted on. The row goes in the transaction of what the signal causes.
CREATE TABLE signal_inbox (
    id uuid PRIMARY KEY,
    feed text NOT NULL,
    message_id text NOT NULL,
    body jsonb NOT NULL,
    severity int NOT NULL,
    accepted_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL,
    -- A reason code: it was refused, and is kept for a person to see.
    refused text,
    detail text,
    UNIQUE (feed, message_id)
);
CREATE INDEX signal_inbox_waiting ON signal_inbox (severity DESC, id) WHERE refused IS NULL;
CREATE INDEX signal_inbox_refused ON signal_inbox (feed, id) WHERE refused IS NOT NULL;
