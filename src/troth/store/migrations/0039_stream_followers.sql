-- Followers of the ledger that must miss nothing: each knows, durably, from which index it reads on.
CREATE TABLE stream_follower (
    name text PRIMARY KEY,
    next bigint NOT NULL
);
