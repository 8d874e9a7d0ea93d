-- How standings are weighed: what is remembered of each subject, by which rules, within which caps, and on what record.

-- Every version of the standing document, as it was applied. The newest governs; none: what Troth ships.
CREATE TABLE standing_version (
    version int PRIMARY KEY,
    sha256 text NOT NULL,
    source text NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

ALTER TABLE hold_cause ADD COLUMN kind text NOT NULL DEFAULT '';
ALTER TABLE hold_cause ADD COLUMN severity smallint NOT NULL DEFAULT 100 CHECK (severity BETWEEN 0 AND 100);
ALTER TABLE hold_cause ADD COLUMN confidence smallint NOT NULL DEFAULT 100 CHECK (confidence BETWEEN 0 AND 100);
-- The greatest severity times confidence since it was raised.
ALTER TABLE hold_cause ADD COLUMN peak int NOT NULL DEFAULT 10000;
ALTER TABLE hold_cause ADD COLUMN effective_at timestamptz;
ALTER TABLE hold_cause ADD COLUMN expires_at timestamptz;
-- Only watched: what it would do is told, and it weighs nothing.
ALTER TABLE hold_cause ADD COLUMN shadow boolean NOT NULL DEFAULT false;
CREATE INDEX hold_cause_feed_open ON hold_cause (feed, subject_id) WHERE cleared_at IS NULL;

-- What is remembered of a subject between assessments, changed under the subject's row lock.
CREATE TABLE subject_state (
    subject_id uuid PRIMARY KEY,
    -- troth.trust.assessment.State
    state jsonb NOT NULL,
    -- As of the last assessment: what contradicts these came by another way (see mending_store).
    standing text NOT NULL,
    open_causes int NOT NULL,
    score int NOT NULL,
    rules_version int NOT NULL,
    assessed_at timestamptz NOT NULL,
    next_at timestamptz
);
CREATE INDEX subject_state_next ON subject_state (next_at) WHERE next_at IS NOT NULL;

-- Every assessment that changed something, with all that it was made from: repeating it gives the same bytes.
CREATE TABLE assessment (
    id uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    at timestamptz NOT NULL,
    rules_version int NOT NULL,
    -- The signal, order or job that brought it about.
    trigger_id uuid NOT NULL,
    inputs bytea NOT NULL,
    outcome bytea NOT NULL
);
CREATE INDEX assessment_subject ON assessment (subject_id, id);

-- Caps count here, in slots of a sixtieth of their window: for a feed, a kind, a group, everyone.
CREATE TABLE cap_slot (
    scope text NOT NULL,
    slot timestamptz NOT NULL,
    spent int NOT NULL,
    asked int NOT NULL,
    PRIMARY KEY (scope, slot)
);
CREATE INDEX cap_slot_age ON cap_slot (slot);
-- When a feed last asked to restrict a subject, and last did: each subject counts once in a window.
CREATE TABLE cap_mark (
    feed text NOT NULL,
    subject_id uuid NOT NULL,
    asked_at timestamptz NOT NULL,
    spent_at timestamptz,
    PRIMARY KEY (feed, subject_id)
);
CREATE INDEX cap_mark_age ON cap_mark (asked_at);
-- Taken by whoever counts across feeds.
CREATE TABLE cap_gate (one boolean PRIMARY KEY DEFAULT true CHECK (one));
INSERT INTO cap_gate DEFAULT VALUES;

ALTER TABLE staged_action DROP CONSTRAINT staged_action_why_check;
ALTER TABLE staged_action ADD CONSTRAINT staged_action_why_check
    CHECK (why IN ('cap', 'frozen', 'feed_suspended', 'irreversible', 'quorum', 'unhealed'));
-- Which cap, how many classes agree …: a clause for people.
ALTER TABLE staged_action ADD COLUMN detail text NOT NULL DEFAULT '';

-- How far a feed's words are in force: {"*": 100, "edr.alert": 0}; per cent of the subjects, 0 for watching only.
ALTER TABLE feed ADD COLUMN rollout jsonb NOT NULL DEFAULT '{"*": 100}';
-- What is done above the soft cap: stage, or restrict and stage the rest.
ALTER TABLE feed ADD COLUMN cap_above text NOT NULL DEFAULT 'stage' CHECK (cap_above IN ('stage', 'restrict'));
-- A suspension that was not applied with the definition stays until it is lifted.
ALTER TABLE feed ADD COLUMN suspended_by text;
ALTER TABLE feed ADD COLUMN suspended_why text NOT NULL DEFAULT '';
ALTER TABLE feed ADD COLUMN suspended_at timestamptz;

-- What a feed would have done where it is only watched.
CREATE TABLE shadow_effect (
    id uuid PRIMARY KEY,
    feed text NOT NULL,
    kind text NOT NULL,
    subject_id uuid NOT NULL,
    signal_id uuid NOT NULL,
    at timestamptz NOT NULL,
    standing_from text NOT NULL,
    standing_to text NOT NULL,
    -- Whether a cap would have staged it.
    capped boolean NOT NULL
);
CREATE INDEX shadow_effect_feed ON shadow_effect (feed, at);

-- Break glass: for a bounded time, automation does not hold this subject.
CREATE TABLE exemption (
    id uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    reason text NOT NULL,
    begins_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    proposed_by text NOT NULL,
    approved_by jsonb NOT NULL,
    ended_at timestamptz,
    ended_by text,
    used int NOT NULL DEFAULT 0,
    CHECK (ends_at > begins_at AND ends_at <= begins_at + interval '24 hours')
);
CREATE INDEX exemption_subject ON exemption (subject_id, ends_at);
