-- What platform tokens opened goes when it is over: a pruner walks their evidence from the oldest on.
CREATE INDEX token_evidence_at ON token_evidence (at, enrolment_id);

-- Thumbprints of keys that an account has had: standing records that were made with one go on proving
-- (draft-ietf-acme-dns-persist-02, 4.2).
ALTER TABLE acme_account ADD COLUMN former_thumbprints text[] NOT NULL DEFAULT '{}';
