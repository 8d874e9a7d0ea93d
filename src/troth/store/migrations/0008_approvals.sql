-- The two-person rule: who is a person, what was proposed, who approved it, and the rule itself.

-- Several accounts may be one person's; null: the account is a person of its own, by its name_key.
ALTER TABLE account ADD COLUMN person text;
ALTER TABLE invitation ADD COLUMN person text;

-- The rule, version by version; the newest governs. No row: nothing asks for approvals.
CREATE TABLE approval_rule (
    version int PRIMARY KEY,
    document text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);

CREATE TABLE proposal (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    payload text NOT NULL,                  -- canonical JSON, the exact bytes that act_hash is over
    act_hash bytea NOT NULL,
    state_digest bytea NOT NULL,            -- of the state that the preview saw
    words text NOT NULL,
    lines jsonb NOT NULL,                   -- what it would hit
    size int NOT NULL,                      -- how many things it would hit
    needed int NOT NULL,
    roles jsonb NOT NULL,                   -- whose approval counts
    comment text NOT NULL,
    actor text NOT NULL,                    -- who proposed
    account_id uuid,                        -- null: the local socket, or a token made by it
    person text,
    role text NOT NULL,                     -- what the proposer was when proposing; it is done with no more than that
    proposed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'approved', 'executed', 'rejected', 'withdrawn', 'expired', 'failed')),
    settled_at timestamptz,
    settled_by text,
    settled_why text NOT NULL DEFAULT ''
);
CREATE INDEX proposal_open ON proposal (expires_at) WHERE state IN ('waiting', 'approved');
CREATE INDEX proposal_newest ON proposal (proposed_at DESC, id);

-- One approval a person; the assertion is kept, so that it can be verified again by anybody.
CREATE TABLE approval (
    proposal_id uuid NOT NULL,
    person text NOT NULL,
    account_id uuid NOT NULL,
    actor text NOT NULL,
    credential_id bytea NOT NULL,
    nonce bytea NOT NULL,
    assertion text NOT NULL,
    comment text NOT NULL,
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (proposal_id, person)
);

-- Claimed by the one unit that does what was approved: a second execution finds the row taken.
CREATE TABLE proposal_execution (
    proposal_id uuid PRIMARY KEY,
    executed_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- One row, locked by whatever is done under the rule: what a preview saw then stands until the commit.
CREATE TABLE approval_turn (
    one boolean PRIMARY KEY CHECK (one)
);
INSERT INTO approval_turn (one) VALUES (true);

-- Many revocations under way: what is still to be done of each, and where the next batch begins.
CREATE TABLE bulk_revocation (
    id uuid PRIMARY KEY,
    selector text NOT NULL,
    reason int NOT NULL,
    actor text NOT NULL,
    note text NOT NULL,
    total int NOT NULL,
    revoked int NOT NULL DEFAULT 0,
    passed_over int NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE TABLE bulk_revocation_item (
    bulk_id uuid NOT NULL,
    certificate_id uuid NOT NULL,
    PRIMARY KEY (bulk_id, certificate_id)
);
