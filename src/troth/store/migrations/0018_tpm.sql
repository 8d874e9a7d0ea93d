-- TPMs that operators registered, each with the device it belongs to, and challenges of the attestation CA.

CREATE TABLE tpm (
    -- SHA-256 of the endorsement key's SubjectPublicKeyInfo.
    ek_sha256 bytea PRIMARY KEY CHECK (length(ek_sha256) = 32),
    device_id uuid NOT NULL,
    -- The permanent identifier in certificates of its attestation keys.
    identifier text NOT NULL CHECK (identifier <> ''),
    manufacturer text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    added_at timestamptz NOT NULL,
    actor text NOT NULL,
    attested_at timestamptz
);
CREATE INDEX tpm_of_device ON tpm (device_id);
CREATE INDEX tpm_of_identifier ON tpm (identifier);

-- One secret that a TPM is to open. Only its hash is here; the row goes when the secret comes back, or has expired.
CREATE TABLE tpm_challenge (
    secret_sha256 bytea PRIMARY KEY CHECK (length(secret_sha256) = 32),
    id uuid NOT NULL,
    ek_sha256 bytea NOT NULL,
    -- The attestation key: SubjectPublicKeyInfo, and the Name that the secret is bound to.
    spki bytea NOT NULL,
    name bytea NOT NULL,
    -- What the maker's certificate said of the TPM; null where none was believed.
    manufacturer text,
    model text,
    version text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tpm_challenge_expired ON tpm_challenge (expires_at);
