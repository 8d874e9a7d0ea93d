-- Which feeds speak as often as they should, and what was said of nobody we know.

ALTER TABLE feed ADD COLUMN cadence_seconds int CHECK (cadence_seconds > 0);

-- When a feed last spoke, and what was last said aloud about its silence.
CREATE TABLE feed_health (
    feed text PRIMARY KEY,
    heard_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'fresh' CHECK (state IN ('fresh', 'late', 'stale', 'dead')),
    since timestamptz
);

-- Silences that are over: in them nothing of what the feed had said grew older. Written by the word that ends them.
CREATE TABLE feed_silence (
    feed text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (feed, since)
);

-- Signals that named nobody, or several, as they came: to be taken again once somebody says whom they mean.
CREATE TABLE signal_unresolved (
    signal_id uuid PRIMARY KEY,
    feed text NOT NULL,
    system text NOT NULL,
    value text NOT NULL,
    several boolean NOT NULL,
    body jsonb NOT NULL,
    at timestamptz NOT NULL,
    -- Bound to a subject by a person, or set aside (subject_id stays NULL).
    settled_at timestamptz,
    settled_by text,
    subject_id uuid
);
CREATE INDEX signal_unresolved_open ON signal_unresolved (signal_id) WHERE settled_at IS NULL;
CREATE INDEX signal_unresolved_whom ON signal_unresolved (system, value) WHERE settled_at IS NULL;

-- Reports (no signals) about nobody we know, or about several: one row for each of them.
CREATE TABLE stranger (
    feed text NOT NULL,
    system text NOT NULL,
    value text NOT NULL,
    several boolean NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    reports bigint NOT NULL,
    PRIMARY KEY (feed, system, value)
);
CREATE INDEX stranger_last ON stranger (last_at);
