-- What a signal says beyond its kind, and the names by which other systems know our subjects.

ALTER TABLE signal ADD COLUMN severity smallint NOT NULL DEFAULT 50 CHECK (severity BETWEEN 0 AND 100);
ALTER TABLE signal ADD COLUMN confidence smallint NOT NULL DEFAULT 80 CHECK (confidence BETWEEN 0 AND 100);
ALTER TABLE signal ADD COLUMN expires_at timestamptz;
-- The source's own number or cursor of the event.
ALTER TABLE signal ADD COLUMN sequence text;
-- How it was proved who speaks, and with which key: {"method": "hmac", "key_id": null}.
ALTER TABLE signal ADD COLUMN verified jsonb NOT NULL DEFAULT '{}';
ALTER TABLE signal ADD COLUMN fields jsonb NOT NULL DEFAULT '{}';
-- Whether the subject was found by a key that proves nothing (a host name, an unattested serial number).
ALTER TABLE signal ADD COLUMN weak boolean NOT NULL DEFAULT false;

-- Several rows may name several subjects: such a name is ambiguous, and never guessed.
CREATE TABLE subject_alias (
    system text NOT NULL,
    value text NOT NULL,
    subject_id uuid NOT NULL,
    source text NOT NULL,
    confidence smallint NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (system, value, subject_id)
);
CREATE INDEX subject_alias_subject ON subject_alias (subject_id);

-- Names that the directory itself tells.
CREATE INDEX subject_user_email ON subject (lower(attributes ->> 'email')) WHERE kind = 'user' AND removed_at IS NULL;
CREATE INDEX subject_user_upn ON subject (lower(attributes ->> 'upn')) WHERE kind = 'user' AND removed_at IS NULL;
CREATE INDEX subject_device_udid_any_case ON subject (lower(attributes ->> 'udid')) WHERE kind = 'device' AND removed_at IS NULL;
