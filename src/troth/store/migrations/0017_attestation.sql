-- Device attestation: what was said and judged, which device a key belongs to, whom a format's chains must lead to.

-- One row per statement that was judged. The report explains it: every check, every decoded field; it is dropped after
-- a time, what an issuance rests on stays.
CREATE TABLE attestation (
    id uuid PRIMARY KEY,
    authz_id uuid NOT NULL,
    order_id uuid NOT NULL,
    account_id uuid NOT NULL,
    subject_id uuid,
    at timestamptz NOT NULL,
    format text NOT NULL,
    sha256 bytea NOT NULL,
    spki_sha256 bytea,
    identifier_type text NOT NULL,
    identifier text NOT NULL,
    -- What the certificate may name: the same, or what stands behind an identifier that is good once.
    named_type text NOT NULL,
    named text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('enforce', 'warn', 'observe')),
    -- Whether the statement passed every check; a mode that only looks lets others through, and they stay false.
    attested boolean NOT NULL,
    -- Whether the challenge became valid by it.
    accepted boolean NOT NULL,
    reason text,
    detail text,
    facts jsonb NOT NULL,
    report jsonb
);
CREATE INDEX attestation_order ON attestation (order_id) WHERE accepted;
CREATE INDEX attestation_subject ON attestation (subject_id, id) WHERE subject_id IS NOT NULL;
CREATE INDEX attestation_told ON attestation (at) WHERE report IS NOT NULL;

-- One key belongs to one device, for ever: the same key under another device is a clone, or a forgery.
CREATE TABLE attested_key (
    spki_sha256 bytea PRIMARY KEY,
    subject_id uuid NOT NULL,
    format text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL
);
CREATE INDEX attested_key_subject ON attested_key (subject_id);

-- What was presented once is never taken again: statements, and Apple's certificates.
CREATE TABLE attestation_seen (
    sha256 bytea PRIMARY KEY,
    at timestamptz NOT NULL
);

-- Roots by format, every version; the newest counts. Without a row a format has the roots that are shipped.
CREATE TABLE attestation_roots (
    format text NOT NULL,
    version int NOT NULL,
    -- Whether the shipped roots of the format count beside these.
    shipped boolean NOT NULL,
    pem text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (format, version)
);

-- The makers' lists of revoked attestation certificates, as they were last fetched or loaded.
CREATE TABLE attestation_status (
    format text PRIMARY KEY,
    sha256 bytea NOT NULL,
    body bytea NOT NULL,
    fetched_at timestamptz NOT NULL,
    source text NOT NULL
);

-- A device is found by what its hardware attests (by its serial number since 0007).
CREATE INDEX subject_device_udid ON subject ((attributes ->> 'udid'))
    WHERE kind = 'device' AND removed_at IS NULL;
CREATE INDEX subject_device_attestation_key ON subject ((attributes ->> 'attestation_key'))
    WHERE kind = 'device' AND removed_at IS NULL;
