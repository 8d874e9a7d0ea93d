-- EST: which certificate a request was given, so that the same request again is given the same one.

-- A request: SHA-256 over label, caller and PKCS#10; its latest try, and under which request id the gate knows that.
CREATE TABLE est_request (
    digest bytea PRIMARY KEY,
    attempt int NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX est_request_at ON est_request (at);

-- What a certificate that came by EST rests on: its renewal rests on the same.
CREATE TABLE est_certificate (
    certificate_id uuid PRIMARY KEY,
    label text NOT NULL,
    -- How its first one was asked for: by an enrolment, a certificate of ours, or one of a foreign anchor.
    method text NOT NULL CHECK (method IN ('enrolment', 'certificate', 'bootstrap')),
    enrolment_id uuid,
    -- SHA-256 of subject and names as the request had them, where the profile put others in their place.
    asked bytea NOT NULL,
    issued_at timestamptz NOT NULL
);
CREATE INDEX est_certificate_enrolment ON est_certificate (enrolment_id, certificate_id) WHERE enrolment_id IS NOT NULL;

-- Counters, for metrics.
CREATE TABLE est_count (
    label text NOT NULL,
    operation text NOT NULL,
    result text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (label, operation, result)
);
