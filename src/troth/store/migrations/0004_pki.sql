-- Who certifies, what certificates look like, every certificate there is or was meant to be, and how status is told.

-- A certificate authority: the offline root, or an issuing authority under it. key_id names the key in the signer.
CREATE TABLE authority (
    slug text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('root', 'issuing')),
    parent text,
    certificate bytea NOT NULL,
    sha256 bytea NOT NULL,
    key_id text,
    state text NOT NULL CHECK (state IN ('planned', 'active', 'retiring', 'retired')),
    -- Born on an online machine, for trial: shown wherever the authority is shown.
    trial boolean NOT NULL DEFAULT false,
    ca_issuers_url text,
    ocsp_url text,
    crl_url text,
    not_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    actor text NOT NULL
);
CREATE UNIQUE INDEX authority_sha256 ON authority (sha256);

-- Every version of every certificate profile, as it was applied. The newest of a name governs.
CREATE TABLE profile_version (
    name text NOT NULL,
    version int NOT NULL,
    digest bytea NOT NULL,
    document text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (name, version)
);

-- Written before anything is signed. 'reserved' has the exact bytes that will be signed; 'burnt' will never be signed.
CREATE TABLE certificate (
    id uuid PRIMARY KEY,
    authority text NOT NULL,
    serial bytea NOT NULL,
    request_id text NOT NULL,
    profile text NOT NULL,
    profile_version int NOT NULL,
    spki_sha256 bytea NOT NULL,
    names jsonb NOT NULL,
    common_name text,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'issued', 'burnt')),
    tbs bytea,
    der bytea,
    sha256 bytea,
    decision_id uuid,
    -- The process that reserved; when its lease lapses, what it left reserved is burnt.
    instance uuid NOT NULL,
    reserved_at timestamptz NOT NULL,
    issued_at timestamptz,
    status text NOT NULL DEFAULT 'good' CHECK (status IN ('good', 'held', 'revoked')),
    status_version int NOT NULL DEFAULT 0,
    status_at timestamptz NOT NULL,
    revocation_reason int,
    -- The encoded CRL entry while the status is not good: a CRL is then a concatenation.
    crl_entry bytea,
    actor text NOT NULL,
    CHECK (state <> 'issued' OR (der IS NOT NULL AND sha256 IS NOT NULL)),
    CHECK (state <> 'reserved' OR tbs IS NOT NULL),
    CHECK ((status = 'good') = (crl_entry IS NULL))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX certificate_serial ON certificate (serial);
CREATE UNIQUE INDEX certificate_request ON certificate (request_id);
CREATE INDEX certificate_sha256 ON certificate (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX certificate_spki ON certificate (spki_sha256);
-- A compromised key is never certified again; asked at each issuance, however many certificates a key has had.
CREATE INDEX certificate_compromised ON certificate (spki_sha256) WHERE status = 'revoked' AND revocation_reason = 1;
CREATE INDEX certificate_reserved ON certificate (reserved_at) WHERE state = 'reserved';
CREATE INDEX certificate_crl ON certificate (authority, not_after) WHERE crl_entry IS NOT NULL;
CREATE INDEX certificate_expiry ON certificate (not_after);
CREATE INDEX certificate_decision ON certificate (decision_id) WHERE decision_id IS NOT NULL;

-- Whom a certificate speaks for. What a subject is, is the trust room's business.
CREATE TABLE certificate_subject (
    subject_id uuid NOT NULL,
    certificate_id uuid NOT NULL,
    role text NOT NULL,
    PRIMARY KEY (subject_id, certificate_id)
);
CREATE INDEX certificate_subject_certificate ON certificate_subject (certificate_id);

-- A hold is a set of causes; the certificate is released when none remains.
CREATE TABLE certificate_hold (
    certificate_id uuid NOT NULL,
    cause text NOT NULL,
    actor text NOT NULL,
    raised_at timestamptz NOT NULL,
    PRIMARY KEY (certificate_id, cause)
);

-- Names, lower-case and written backwards, so that "everything under example.com" is a prefix.
CREATE TABLE certificate_name (
    name text NOT NULL,
    certificate_id uuid NOT NULL,
    PRIMARY KEY (name, certificate_id)
);
CREATE INDEX certificate_name_search ON certificate_name (name text_pattern_ops);
CREATE INDEX certificate_name_certificate ON certificate_name (certificate_id);

-- Number and digest are reserved before a CRL is signed. A number is never used twice, a smaller one never later.
CREATE TABLE crl (
    authority text NOT NULL,
    number bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'published')),
    tbs_sha256 bytea NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    der bytea,
    sha256 bytea,
    entries int NOT NULL,
    reserved_at timestamptz NOT NULL,
    PRIMARY KEY (authority, number),
    CHECK ((state = 'published') = (der IS NOT NULL))
);
CREATE INDEX crl_published ON crl (authority, number DESC) WHERE state = 'published';

-- Delegated OCSP responders; the newest of an authority signs.
CREATE TABLE ocsp_responder (
    certificate_id uuid PRIMARY KEY,
    authority text NOT NULL,
    key_id text NOT NULL,
    certificate bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL
);
CREATE INDEX ocsp_responder_newest ON ocsp_responder (authority, not_after DESC);
