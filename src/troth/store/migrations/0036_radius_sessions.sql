-- Who is on the network now and was before, what is to be done about them, and how far both have come.

-- What access servers have told and been told, durable before the answer, until it has been folded into the sessions.
CREATE TABLE radius_inbox (
    id uuid PRIMARY KEY,
    body bytea NOT NULL,
    at timestamptz NOT NULL
);
ALTER TABLE radius_inbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- One network session. Partitioned by the month in which it was first heard of, so that old ones go as a whole.
CREATE TABLE radius_session (
    id uuid NOT NULL,
    opened_at timestamptz NOT NULL,
    -- The access server as `nas:` names it, and which box behind that name: several may share one.
    nas text NOT NULL,
    box text NOT NULL,
    source text NOT NULL,
    nas_address text NOT NULL DEFAULT '',
    nas_identifier text NOT NULL DEFAULT '',
    -- The station's address, canonical; what it sent where that is none.
    mac text NOT NULL DEFAULT '',
    calling_station_id text NOT NULL DEFAULT '',
    -- What the access server calls the user; `user_name` is whom the certificate names, once one was shown.
    nas_user_name text NOT NULL DEFAULT '',
    user_name text NOT NULL DEFAULT '',
    acct_session_id text NOT NULL DEFAULT '',
    acct_multi_session_id text NOT NULL DEFAULT '',
    audit_session_id text NOT NULL DEFAULT '',
    nas_port bigint,
    nas_port_id text NOT NULL DEFAULT '',
    nas_port_type int,
    called_station_id text NOT NULL DEFAULT '',
    framed_ip text NOT NULL DEFAULT '',
    framed_ipv6 text NOT NULL DEFAULT '',
    -- What was decided when it was let in; empty for a session that only accounting tells of.
    class bytea,
    admitted_at timestamptz,
    network text NOT NULL DEFAULT '',
    place text NOT NULL DEFAULT '',
    method text NOT NULL DEFAULT '',
    outcome text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    certificate_id uuid,
    serial text NOT NULL DEFAULT '',
    subject_ids uuid[] NOT NULL DEFAULT '{}',
    until timestamptz,
    -- What accounting tells, by the access server's clock where that can be believed.
    started_at timestamptz,
    start_seen boolean NOT NULL DEFAULT false,
    stopped boolean NOT NULL DEFAULT false,
    last_at timestamptz NOT NULL,
    described_at timestamptz,
    addressed_at timestamptz,
    seconds bigint NOT NULL DEFAULT 0,
    octets_in bigint NOT NULL DEFAULT 0,
    octets_out bigint NOT NULL DEFAULT 0,
    packets_in bigint NOT NULL DEFAULT 0,
    packets_out bigint NOT NULL DEFAULT 0,
    interims int NOT NULL DEFAULT 0,
    cause text NOT NULL DEFAULT '',
    -- By our clock: when it was heard of last, and when it is looked whether it has aged.
    heard_at timestamptz NOT NULL,
    ages_at timestamptz NOT NULL,
    -- Ended by us: what we saw ourselves. It holds until accounting knows better.
    closed_at timestamptz,
    closed_by text NOT NULL DEFAULT '',
    ended_at timestamptz,
    ended_by text NOT NULL DEFAULT '',
    PRIMARY KEY (id, opened_at)
) PARTITION BY RANGE (opened_at);
CREATE INDEX radius_session_key ON radius_session (nas, box, acct_session_id);
CREATE INDEX radius_session_class ON radius_session (class) WHERE class IS NOT NULL;
CREATE INDEX radius_session_mac ON radius_session (mac, id);
CREATE INDEX radius_session_user ON radius_session (lower(user_name) text_pattern_ops, id);
CREATE INDEX radius_session_serial ON radius_session (serial) WHERE serial <> '';
CREATE INDEX radius_session_certificate ON radius_session (certificate_id) WHERE certificate_id IS NOT NULL;
-- Without a list of what is pending, which every search would have to read.
CREATE INDEX radius_session_subjects ON radius_session USING gin (subject_ids) WITH (fastupdate = off);
CREATE INDEX radius_session_nas ON radius_session (nas, id);
CREATE INDEX radius_session_open ON radius_session (id) WHERE ended_at IS NULL;
CREATE INDEX radius_session_open_network ON radius_session (network, id) WHERE ended_at IS NULL;
CREATE INDEX radius_session_ages ON radius_session (ages_at) WHERE ended_at IS NULL;

-- When a box said Accounting-On or -Off: what it served before is over. `called` confines it to one radio.
CREATE TABLE radius_boot (
    nas text NOT NULL,
    box text NOT NULL,
    called text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (nas, box, called, at)
);
CREATE INDEX radius_boot_at ON radius_boot (at);

-- One thing to be done to one session: to end it, or to have it judged anew.
CREATE TABLE radius_order (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('disconnect', 'reauthorize')),
    session_id uuid NOT NULL,
    opened_at timestamptz NOT NULL,
    nas text NOT NULL,
    -- One sender per device: orders of one lane are done one after the other. The station, else the session.
    lane text NOT NULL,
    -- What brought it about, once for each session: `effect:<id>`, `person:<id>`, `event:<index>`, `wave:<id>`.
    origin text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '',
    -- Not by a person's order: a freeze stops it, and a cap may stage it.
    automated boolean NOT NULL,
    accepted_at timestamptz NOT NULL,
    planned_at timestamptz NOT NULL,
    due timestamptz NOT NULL,
    give_up_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    -- The sender that has it: a later one takes over what an earlier one left.
    epoch bigint,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'staged', 'done', 'gone', 'refused', 'failed', 'dropped')),
    ended_at timestamptz,
    step text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX radius_order_origin ON radius_order (origin, session_id);
CREATE INDEX radius_order_due ON radius_order (due) WHERE state = 'waiting';
CREATE INDEX radius_order_claimed ON radius_order (epoch) WHERE epoch IS NOT NULL;
CREATE INDEX radius_order_lane ON radius_order (lane, id) WHERE state = 'waiting';
CREATE INDEX radius_order_session ON radius_order (session_id, id);
CREATE INDEX radius_order_state ON radius_order (state, id);
CREATE INDEX radius_order_ended ON radius_order (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX radius_order_automated ON radius_order (planned_at) WHERE automated;
ALTER TABLE radius_order SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Counters that only grow, for pages and metrics.
CREATE TABLE radius_session_count (
    name text PRIMARY KEY,
    number bigint NOT NULL
);
