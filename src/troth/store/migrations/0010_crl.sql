-- CRLs at size: shards, deltas, bodies in chunks that versions share, and every status change until a CRL has shown it.

-- Certificates issued from now on are spread over this many CRLs; it is only ever raised.
ALTER TABLE authority ADD COLUMN crl_shards int NOT NULL DEFAULT 1 CHECK (crl_shards BETWEEN 1 AND 256);
-- Delta CRLs on change, complete CRLs on schedule only.
ALTER TABLE authority ADD COLUMN crl_deltas boolean NOT NULL DEFAULT false;

-- Fixed at issuance: the certificate's CRL distribution point names this shard.
ALTER TABLE certificate ADD COLUMN crl_shard smallint NOT NULL DEFAULT 0;
-- id-ce-noRevAvail (RFC 9608): held by live policy only, in no CRL.
ALTER TABLE certificate ADD COLUMN no_rev_avail boolean NOT NULL DEFAULT false;
CREATE INDEX certificate_crl_order ON certificate (authority, crl_shard, serial) WHERE crl_entry IS NOT NULL;

-- Written with each change of status. shown_in is the number of the first CRL that shows it, null until then; before
-- and after say whether the certificate was listed by the CRL before that one, and by that one.
CREATE TABLE crl_change (
    certificate_id uuid NOT NULL,
    status_version int NOT NULL,
    authority text NOT NULL,
    shard smallint NOT NULL,
    serial bytea NOT NULL,
    changed_at timestamptz NOT NULL,
    shown_in bigint,
    before boolean NOT NULL DEFAULT false,
    after boolean NOT NULL DEFAULT false,
    PRIMARY KEY (certificate_id, status_version)
);
CREATE INDEX crl_change_pending ON crl_change (authority, shard, certificate_id) WHERE shown_in IS NULL;
CREATE INDEX crl_change_shown ON crl_change (authority, shard, shown_in) WHERE shown_in IS NOT NULL;

-- Number and digest are reserved before a CRL is signed. In one shard a number is never used twice, a smaller one
-- never later; a complete CRL and a delta of one number say the same (RFC 5280, 5.2.4).
-- The CRL is head, then the chunks in order, then tail.
CREATE TABLE crl_issue (
    authority text NOT NULL,
    shard smallint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('full', 'delta')),
    number bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'published')),
    base_number bigint,
    -- The distribution point that it is limited to; null covers everything.
    point text,
    tbs_sha256 bytea NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    -- Certificates that had expired before this are not listed any more.
    alive_at timestamptz NOT NULL,
    -- On schedule rather than on change: an expired certificate goes after one of these has shown it.
    scheduled boolean NOT NULL,
    entries int NOT NULL,
    size bigint NOT NULL,
    reserved_at timestamptz NOT NULL,
    build_seconds double precision,
    head bytea,
    tail bytea,
    chunks uuid[],
    sha256 bytea,
    PRIMARY KEY (authority, shard, kind, number),
    CHECK ((state = 'published') = (chunks IS NOT NULL))
);
CREATE INDEX crl_issue_published ON crl_issue (authority, shard, kind, number DESC) WHERE state = 'published';

-- What is published of each shard: compared and swapped by the commit that publishes. 0 before the first.
CREATE TABLE crl_shard (
    authority text NOT NULL,
    shard smallint NOT NULL,
    full_number bigint NOT NULL DEFAULT 0,
    delta_number bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (authority, shard)
);

-- A run of entries. starts is where its range of serial numbers begins (the next chunk's is where it ends).
CREATE TABLE crl_chunk (
    id uuid PRIMARY KEY,
    authority text NOT NULL,
    shard smallint NOT NULL,
    starts bytea NOT NULL,
    entries int NOT NULL,
    body bytea NOT NULL,
    -- The first complete CRL that does without it; while a CRL is being stored, that one's number.
    gone_in bigint
);
-- Serial numbers are random: compressing them costs time and saves little.
ALTER TABLE crl_chunk ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX crl_chunk_gone ON crl_chunk (authority, shard, gone_in) WHERE gone_in IS NOT NULL;

INSERT INTO crl_shard (authority, shard, full_number)
SELECT authority, 0, max(number) FROM crl WHERE state = 'published' GROUP BY authority;
-- What was published under the old table stays what is published.
INSERT INTO crl_issue (authority, shard, kind, number, state, tbs_sha256, this_update, next_update, alive_at, scheduled,
    entries, size, reserved_at, head, tail, chunks, sha256)
SELECT authority, 0, 'full', number, state, tbs_sha256, this_update, next_update, this_update, true,
    entries, coalesce(length(der), 0), reserved_at, der, CASE WHEN der IS NOT NULL THEN ''::bytea END,
    CASE WHEN der IS NOT NULL THEN '{}'::uuid[] END, sha256
FROM crl;
