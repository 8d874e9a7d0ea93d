-- Pools of other RADIUS servers, who joins without a certificate, and orders to access servers that hold a connection to us.

CREATE TABLE radius_pool (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    -- Counts every change, those of secrets included: whoever runs it connects anew.
    version int NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Shared with one server each; sealed with the key in secrets/proxies.secret.
CREATE TABLE radius_pool_secret (
    pool text NOT NULL,
    server text NOT NULL,
    sealed bytea NOT NULL,
    set_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (pool, server)
);

-- Devices that may join a network by their address alone (MAB) though no directory knows them.
CREATE TABLE radius_address (
    mac text PRIMARY KEY CHECK (mac ~ '^[0-9a-f]{2}(-[0-9a-f]{2}){5}$'),
    note text NOT NULL,
    until timestamptz,
    added_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Who may join with a password (PAP): a few named accounts, each by a person's word.
CREATE TABLE radius_account (
    name text PRIMARY KEY,
    -- argon2id; the password is made here, shown once and never kept.
    hash text NOT NULL,
    -- It may be told over UDP, where everybody between who knows the access server's secret reads it.
    udp boolean NOT NULL,
    note text NOT NULL,
    until timestamptz,
    added_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- A Disconnect or CoA for an access server whose only way is its own RadSec connection: taken by the process that holds
-- it. The order itself is somebody else's to keep (the outbox); a row lives for seconds.
CREATE TABLE radius_reverse (
    id uuid PRIMARY KEY,
    nas text NOT NULL,
    code int NOT NULL,
    attributes bytea NOT NULL,
    -- Nobody takes it after this.
    until timestamptz NOT NULL,
    taken_at timestamptz,
    -- The answer: its code and attributes; or why there is none.
    reply_code int,
    reply bytea,
    failed text,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX radius_reverse_waiting ON radius_reverse (nas) WHERE taken_at IS NULL;
