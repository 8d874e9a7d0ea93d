-- What others tell us, what weighs against a subject because of it, and what waits for a person.

-- Who may tell us what. Changed under its own row lock, which is also where the cap is counted.
CREATE TABLE feed (
    name text PRIMARY KEY,
    kinds jsonb NOT NULL,
    scope jsonb NOT NULL,
    greatest_effect text NOT NULL CHECK (greatest_effect IN ('restricted', 'quarantined', 'distrusted')),
    may_clear boolean NOT NULL,
    cap_percent int NOT NULL CHECK (cap_percent BETWEEN 0 AND 100),
    cap_subjects int NOT NULL CHECK (cap_subjects >= 0),
    cap_window_seconds int NOT NULL CHECK (cap_window_seconds > 0),
    suspended boolean NOT NULL,
    -- Sealed with the key in secrets/feeds.secret; a second one only while senders change over.
    secret bytea NOT NULL,
    former_secret bytea,
    former_until timestamptz,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- Every signal that was accepted, with the answer it got: a repeated message gets the same one.
CREATE TABLE signal (
    id uuid PRIMARY KEY,
    feed text NOT NULL,
    message_id text NOT NULL,
    digest bytea NOT NULL,
    kind text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('raise', 'clear')),
    level text NOT NULL,
    cause text NOT NULL,
    whom text NOT NULL,
    -- NULL when whom names nobody we know, or several: kept, and alarmed about.
    subject_id uuid,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    evidence text NOT NULL,
    standing text,
    staged boolean NOT NULL,
    effects jsonb NOT NULL,
    UNIQUE (feed, message_id)
);
CREATE INDEX signal_subject ON signal (subject_id, id) WHERE subject_id IS NOT NULL;
CREATE INDEX signal_feed ON signal (feed, id);

-- The set of causes of each subject. A row stays when it is cleared: it tells a late raise from a new one.
CREATE TABLE hold_cause (
    subject_id uuid NOT NULL,
    feed text NOT NULL,
    key text NOT NULL,
    -- 'trusted' only for a clear that came before its raise.
    level text NOT NULL CHECK (level IN ('trusted', 'restricted', 'quarantined', 'distrusted')),
    observed_at timestamptz NOT NULL,
    raised_at timestamptz NOT NULL,
    signal_id uuid NOT NULL,
    cleared_at timestamptz,
    approved_by text,
    PRIMARY KEY (subject_id, feed, key)
);
-- The cap counts here.
CREATE INDEX hold_cause_spent ON hold_cause (feed, raised_at) WHERE approved_by IS NULL AND level <> 'trusted';
CREATE INDEX hold_cause_open ON hold_cause (subject_id) WHERE cleared_at IS NULL;

-- What automation may not do by itself. feed and cause name the cause that would change ('revoke': standing alone).
CREATE TABLE staged_action (
    id uuid PRIMARY KEY,
    action text NOT NULL CHECK (action IN ('raise', 'clear', 'revoke')),
    subject_id uuid NOT NULL,
    feed text NOT NULL,
    cause text NOT NULL,
    level text NOT NULL,
    why text NOT NULL CHECK (why IN ('cap', 'frozen', 'feed_suspended', 'irreversible')),
    signal_id uuid NOT NULL,
    observed_at timestamptz NOT NULL,
    would jsonb NOT NULL,
    staged_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'withdrawn')),
    settled_at timestamptz,
    settled_by text,
    note text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX staged_action_pending ON staged_action (subject_id, feed, cause, action) WHERE state = 'pending';
CREATE INDEX staged_action_state ON staged_action (state, id);

-- The one switch that stops automatic enforcement; signals are recorded all the while.
CREATE TABLE enforcement_switch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    frozen boolean NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    changed_at timestamptz
);
INSERT INTO enforcement_switch (frozen, reason, actor) VALUES (false, '', 'system:migration');

-- A signal may name a device by its serial number.
CREATE INDEX subject_device_serial ON subject ((attributes ->> 'serial')) WHERE kind = 'device' AND removed_at IS NULL;
