-- What opens accounts (enrolments), what limits them, and clients that are paused because they never succeed.

-- sealed: an HMAC key, which must be read again. digest: of a secret, or of a one-time identifier; neither is kept.
-- accounts and orders count only where there is a most: a credential without one is never written after its making.
CREATE TABLE enrolment (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('external-account', 'directory', 'client-identifier')),
    name text NOT NULL,
    directories text[] NOT NULL,
    profiles text[] NOT NULL,
    rules jsonb NOT NULL,
    vouches boolean NOT NULL,
    device_id uuid,
    user_id uuid,
    sealed bytea,
    digest bytea,
    status text NOT NULL CHECK (status IN ('valid', 'revoked')),
    expires_at timestamptz NOT NULL,
    most_accounts int,
    most_orders int,
    accounts int NOT NULL DEFAULT 0,
    orders int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    revoked_at timestamptz,
    revoked_by text
);
CREATE UNIQUE INDEX enrolment_digest ON enrolment (digest) WHERE digest IS NOT NULL;

ALTER TABLE acme_account
    ADD COLUMN enrolment_id uuid,
    ADD COLUMN enrolment_kind text;
CREATE INDEX acme_account_enrolment ON acme_account (enrolment_id, id) WHERE enrolment_id IS NOT NULL;

-- A meter is the moment at which all that was spent will have been refilled (GCRA); processes add to it once a second.
CREATE TABLE acme_meter (
    key text PRIMARY KEY,
    full_at timestamptz NOT NULL
);
CREATE INDEX acme_meter_full_at ON acme_meter (full_at);

-- How often a limit has refused somebody, for metrics; processes add to it once a second.
CREATE TABLE acme_refusal (
    name text PRIMARY KEY,
    number bigint NOT NULL
);

-- Failures in a row, of one account for one name: from the free ones on each makes it wait longer, and at last it is
-- paused until a person says otherwise. A success deletes the row.
CREATE TABLE acme_failing (
    account_id uuid NOT NULL,
    type text NOT NULL,
    value text NOT NULL,
    failures int NOT NULL,
    last_at timestamptz NOT NULL,
    retry_at timestamptz NOT NULL,
    paused_at timestamptz,
    PRIMARY KEY (account_id, type, value)
);
CREATE INDEX acme_failing_paused ON acme_failing (paused_at, account_id) WHERE paused_at IS NOT NULL;
