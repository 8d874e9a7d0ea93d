-- Who may act: accounts, their passkeys, invitations, sessions, API tokens, and the memory of failed attempts.

CREATE TABLE account (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    name_key text NOT NULL UNIQUE,          -- NFKC, case folded: two names that look alike are one
    role text NOT NULL,
    password_hash text,                     -- argon2id, null for an account with passkeys only
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL
);

CREATE TABLE passkey (
    credential_id bytea PRIMARY KEY,
    account_id uuid NOT NULL,
    public_key bytea NOT NULL,              -- COSE
    sign_count bigint NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX passkey_account ON passkey (account_id);

-- Challenges given to browsers; a row is deleted by the answer that uses it.
CREATE TABLE passkey_challenge (
    challenge_hash bytea PRIMARY KEY,
    purpose text NOT NULL,
    account_id uuid,
    expires_at timestamptz NOT NULL
);
CREATE INDEX passkey_challenge_expires ON passkey_challenge (expires_at);

-- The right to make one account. At most one row is the bootstrap token.
CREATE TABLE invitation (
    token_hash bytea PRIMARY KEY,
    first boolean NOT NULL,
    role text NOT NULL,
    name text,
    expires_at timestamptz NOT NULL,
    created_by text NOT NULL
);
CREATE UNIQUE INDEX invitation_first ON invitation (first) WHERE first;

CREATE TABLE admin_session (
    id_hash bytea PRIMARY KEY,
    account_id uuid NOT NULL,
    method text NOT NULL,
    address text NOT NULL,
    agent text NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX admin_session_account ON admin_session (account_id);
CREATE INDEX admin_session_expires ON admin_session (expires_at);

CREATE TABLE api_token (
    id uuid PRIMARY KEY,
    secret_hash bytea NOT NULL UNIQUE,
    name text NOT NULL,
    role text NOT NULL,
    account_id uuid,                        -- whose it is; null when made by a local process
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

-- Attempts since the last success, by account, by address and by the pair; counted before the check is made.
CREATE TABLE login_attempt (
    bucket text PRIMARY KEY,
    attempts int NOT NULL,
    free int NOT NULL,
    last_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX login_attempt_last ON login_attempt (last_at);
