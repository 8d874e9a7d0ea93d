-- An ACME directory offers several profiles; an account belongs to the directory, an order to one of its profiles.

ALTER TABLE acme_account RENAME COLUMN profile TO directory;
ALTER TABLE acme_account RENAME CONSTRAINT acme_account_profile_thumbprint_key TO acme_account_directory_thumbprint_key;

-- A blocked key's accounts are sought in every directory.
CREATE INDEX acme_account_thumbprint ON acme_account (thumbprint);

-- Renewal information (RFC 9773): what an order says it replaces, as its client wrote it.
ALTER TABLE acme_order ADD COLUMN replaces text;

-- The order that took a certificate's place; another may only do so when that order has come to nothing.
CREATE TABLE acme_replacement (
    certificate_id uuid PRIMARY KEY,
    order_id uuid NOT NULL
);

-- "Renew these early": which certificates, how many of them a minute, and how far the worker has spread them.
CREATE TABLE renewal_incident (
    id uuid PRIMARY KEY,
    selector text NOT NULL,
    note text NOT NULL,
    explanation_url text NOT NULL,
    per_minute int NOT NULL CHECK (per_minute > 0),
    state text NOT NULL CHECK (state IN ('spreading', 'running', 'ended')),
    -- The last certificate looked at, and how many were found so far.
    looked_at uuid,
    total int NOT NULL DEFAULT 0,
    actor text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX renewal_incident_open ON renewal_incident (id) WHERE state <> 'ended';

-- The moment from which one certificate's window lies in the past.
CREATE TABLE renewal_incident_item (
    certificate_id uuid NOT NULL,
    incident_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (certificate_id, incident_id)
);
CREATE INDEX renewal_incident_item_due ON renewal_incident_item (incident_id, due_at);

-- A proof that holds for the names below as well (RFC 9444).
ALTER TABLE acme_authz ADD COLUMN subdomains boolean NOT NULL DEFAULT false;

-- What went wrong in validations: each failed try, and one that passed after failed ones.
CREATE TABLE acme_attempt (
    id uuid PRIMARY KEY,
    authz_id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    method text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('valid', 'again', 'invalid')),
    reason text NOT NULL,
    detail text NOT NULL,
    record jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX acme_attempt_name ON acme_attempt (name, id);
CREATE INDEX acme_attempt_account ON acme_attempt (account_id, id);
CREATE INDEX acme_attempt_at ON acme_attempt (at);
