-- What agents found on their hosts: certificates, wherever they came from, and where they lie.

CREATE TABLE found_certificate (
    sha256 bytea PRIMARY KEY,
    der bytea NOT NULL,
    subject text NOT NULL,
    issuer text NOT NULL,
    serial text NOT NULL,
    names jsonb NOT NULL DEFAULT '[]',
    spki_sha256 bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL
);
CREATE INDEX found_certificate_expiry ON found_certificate (not_after, sha256);

-- One place on one host. What a later report does not show any more stays with the time it was last seen.
CREATE TABLE sighting (
    subject_id uuid NOT NULL,
    place text NOT NULL,
    sha256 bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('file', 'keystore', 'listener')),
    has_key boolean NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (subject_id, place, sha256)
);
CREATE INDEX sighting_certificate ON sighting (sha256);

-- The latest report of each host: what is older in `sighting` is not there any more.
CREATE TABLE host_report (
    subject_id uuid PRIMARY KEY,
    certificate_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    agent text NOT NULL,
    certificates int NOT NULL,
    unreadable int NOT NULL,
    stores jsonb NOT NULL DEFAULT '[]',
    cut jsonb NOT NULL DEFAULT '[]'
);

-- Platform tokens that were exchanged for an enrolment: none counts twice while it could still be shown.
CREATE TABLE token_used (
    digest bytea PRIMARY KEY,
    until timestamptz NOT NULL
);
CREATE INDEX token_used_until ON token_used (until);

-- What a token proved, for the decisions about whatever is ordered under the enrolment that it was exchanged for.
CREATE TABLE token_evidence (
    enrolment_id uuid PRIMARY KEY,
    issuer text NOT NULL,
    subject text NOT NULL,
    claims jsonb NOT NULL,
    at timestamptz NOT NULL
);
