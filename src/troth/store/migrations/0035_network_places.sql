-- Where a network puts whom it lets in: VLAN, role, access rules, times; the same for every vendor's equipment.

CREATE TABLE network_place (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    -- Counts every change.
    version int NOT NULL,
    applied_at timestamptz NOT NULL,
    actor text NOT NULL
);
