-- Shared signals that this installation sends (OpenID SSF 1.0): its keys, who may receive, streams, and what is on its way.

CREATE TABLE ssf_key (
    kid text PRIMARY KEY,
    -- RSA, PKCS #8 DER, sealed.
    private bytea NOT NULL,
    jwk jsonb NOT NULL,
    made_at timestamptz NOT NULL
);

-- Who may receive: granted by a person.
CREATE TABLE ssf_receiver (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    -- SHA-256 of the client secret; none for a receiver that only a push address of ours serves.
    secret_digest bytea,
    -- Counts changes of the secret: access tokens of an older one are worth nothing.
    generation int NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

CREATE TABLE ssf_out_stream (
    id text PRIMARY KEY,
    receiver text NOT NULL,
    -- What the receiver supplied: delivery (its authorization header sealed apart), events_requested, description.
    configuration jsonb NOT NULL,
    header bytea,
    status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'paused', 'disabled')),
    status_reason text NOT NULL DEFAULT '',
    -- Subjects that the receiver took out: [subject, …].
    removed jsonb NOT NULL DEFAULT '[]',
    made_at timestamptz NOT NULL,
    active_at timestamptz NOT NULL,
    verification_asked_at timestamptz,
    delivered_at timestamptz,
    failures int NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    retry_at timestamptz
);
CREATE INDEX ssf_out_stream_receiver ON ssf_out_stream (receiver);

-- Tokens on their way, in the order of their ids; gone when they are acknowledged.
CREATE TABLE ssf_out_token (
    id uuid PRIMARY KEY,
    stream text NOT NULL,
    jti text NOT NULL,
    -- What caused it, and which of its events: the same is queued once.
    cause text NOT NULL,
    type text NOT NULL,
    token text NOT NULL,
    -- About the stream itself: sent even while it is paused.
    itself boolean NOT NULL,
    queued_at timestamptz NOT NULL,
    -- Refused by the receiver for good: kept for a person to see, never sent again.
    refused text,
    UNIQUE (stream, jti),
    UNIQUE (stream, cause)
);
CREATE INDEX ssf_out_token_waiting ON ssf_out_token (stream, id) WHERE refused IS NULL;

CREATE TABLE ssf_out_count (
    stream text NOT NULL,
    outcome text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (stream, outcome)
);
