-- Access servers (RADIUS clients): who may ask, their secrets, and what was seen of them.

CREATE TABLE nas (
    name text PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    definition jsonb NOT NULL,
    -- Counts every change, those of secrets included.
    version int NOT NULL,
    -- Since when it is known to sign what need not be signed (require_message_authenticator: auto).
    signs_since timestamptz,
    -- Since when a secret of its is being replaced.
    rotating_since timestamptz,
    -- It is answered no longer; its secrets are gone.
    retired_at timestamptz,
    reason text NOT NULL DEFAULT '',
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Sealed with the key in secrets/nas.secret.
CREATE TABLE nas_secret (
    nas text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('current', 'next', 'coa')),
    sealed bytea NOT NULL,
    set_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (nas, kind)
);

-- One row for each address that has asked within an access server's prefixes. Written now and then, never per packet.
CREATE TABLE nas_seen (
    nas text NOT NULL,
    address text NOT NULL,
    last_at timestamptz NOT NULL,
    -- When it last proved itself by either secret.
    current_at timestamptz,
    next_at timestamptz,
    -- Requests without Message-Authenticator, and requests that nothing proved.
    unsigned_at timestamptz,
    unsigned bigint NOT NULL DEFAULT 0,
    wrong_at timestamptz,
    wrong bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (nas, address)
);
CREATE INDEX nas_seen_last ON nas_seen (last_at);
