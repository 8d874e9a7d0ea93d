-- After a restore that may lack something: issuance and status wait behind this fence until a person decides.

-- One row. The interval is the time of which this database may know nothing: what was issued in it is told by the
-- time in a serial number.
CREATE TABLE recovery_fence (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    state text NOT NULL CHECK (state IN ('open', 'closed', 'accepted', 'revoked')),
    reason text NOT NULL DEFAULT '',
    closed_at timestamptz,
    unknown_from timestamptz,
    unknown_until timestamptz,
    settled_at timestamptz,
    settled_by text,
    settled_why text NOT NULL DEFAULT ''
);
INSERT INTO recovery_fence (state) VALUES ('open');
