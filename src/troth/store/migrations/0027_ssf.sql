-- Streams of shared signals that this installation receives (OpenID SSF 1.0).

CREATE TABLE ssf_stream (
    name text PRIMARY KEY,
    feed text NOT NULL,
    -- As a person applied it: issuer, delivery, dialect, events, credentials' names (never the credentials).
    definition jsonb NOT NULL,
    -- What proves us to the transmitter: a client secret or a token, sealed.
    secret bytea,
    -- SHA-256 of the authorization header that deliveries must carry; that of the former one while both may come.
    header_digest bytea,
    former_digest bytea,
    -- What the transmitter said: its metadata, and the stream's configuration with its id.
    metadata jsonb,
    configuration jsonb,
    remote_id text,
    -- planned: not yet known to the transmitter. The others are the transmitter's words.
    status text NOT NULL CHECK (status IN ('planned', 'enabled', 'paused', 'disabled')),
    status_reason text NOT NULL DEFAULT '',
    -- Verifications asked for and not yet answered: [{"state": …, "at": …}], the newest last.
    verifications jsonb NOT NULL DEFAULT '[]',
    verified_at timestamptz,
    heard_at timestamptz,
    error text NOT NULL DEFAULT '',
    error_at timestamptz,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Every token that was taken, so that none is taken twice; forgotten when it is too old to be taken at all.
CREATE TABLE ssf_event (
    stream text NOT NULL,
    jti text NOT NULL,
    digest bytea NOT NULL,
    type text NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL,
    issued_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (stream, jti)
);
CREATE INDEX ssf_event_newest ON ssf_event (stream, id DESC);
CREATE INDEX ssf_event_issued ON ssf_event (issued_at);

-- How often which outcome came, for ever: rows above are forgotten, counters are not.
CREATE TABLE ssf_count (
    stream text NOT NULL,
    outcome text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (stream, outcome)
);

-- Events about many at once. Each waits for a person, who has it acted on for everybody in the feed's scope, or drops it.
CREATE TABLE ssf_wide (
    id uuid PRIMARY KEY,
    stream text NOT NULL,
    feed text NOT NULL,
    jti text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    signals jsonb NOT NULL,
    fields jsonb NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'acted', 'dismissed')),
    settled_by text,
    settled_at timestamptz,
    UNIQUE (stream, jti)
);
CREATE INDEX ssf_wide_waiting ON ssf_wide (id) WHERE state = 'waiting';
