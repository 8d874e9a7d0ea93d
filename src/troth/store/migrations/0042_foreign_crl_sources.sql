-- Where revocation lists of others are fetched from, and how that went. What a document names is written by whoever looks
-- after them; what a certificate names, by the worker that was shown it.
CREATE TABLE foreign_crl_source (
    anchor text NOT NULL,
    url text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('document', 'certificate')),
    -- DER in Base64: who signs the list, then those between that one and the anchor; none: the anchor itself.
    issuers jsonb NOT NULL,
    every_seconds int NOT NULL,
    found_at timestamptz NOT NULL,
    due timestamptz NOT NULL,
    -- The list that it gave last, with what the server calls it.
    issuer bytea,
    etag text NOT NULL DEFAULT '',
    modified text NOT NULL DEFAULT '',
    checked_at timestamptz,
    failures int NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    PRIMARY KEY (anchor, url)
);
CREATE INDEX foreign_crl_source_due ON foreign_crl_source (due);
