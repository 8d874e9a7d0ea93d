-- ACME (RFC 8555): accounts, orders, authorizations. Challenges are embedded in their authorization.

CREATE TABLE acme_account (
    id uuid PRIMARY KEY,
    profile text NOT NULL,
    thumbprint text NOT NULL,
    jwk bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('valid', 'deactivated', 'revoked')),
    contact jsonb NOT NULL,
    terms_agreed boolean NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (profile, thumbprint)
);

-- attempt counts tries at the gate: each has a request id of its own, so a burnt serial does not block the order.
CREATE TABLE acme_order (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    profile text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'ready', 'processing', 'valid', 'invalid')),
    identifiers jsonb NOT NULL,
    not_after timestamptz,
    expires timestamptz NOT NULL,
    error jsonb,
    attempt int NOT NULL DEFAULT 0,
    csr_sha256 bytea,
    certificate_id uuid,
    created_at timestamptz NOT NULL
);
CREATE INDEX acme_order_account ON acme_order (account_id, id);
CREATE INDEX acme_order_certificate ON acme_order (certificate_id) WHERE certificate_id IS NOT NULL;

CREATE TABLE acme_authz (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL,
    account_id uuid NOT NULL,
    type text NOT NULL,
    value text NOT NULL,
    wildcard boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'valid', 'invalid', 'deactivated')),
    expires timestamptz NOT NULL,
    challenges jsonb NOT NULL
);
CREATE INDEX acme_authz_order ON acme_authz (order_id);
CREATE INDEX acme_authz_held ON acme_authz (account_id, value, wildcard, expires) WHERE status = 'valid';
