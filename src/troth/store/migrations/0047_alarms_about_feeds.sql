-- What people were called for about a feed, for as long as it lasts: each thing once, and its end.
CREATE TABLE feed_alarm (
    feed text NOT NULL,
    what text NOT NULL CHECK (what IN ('suspended', 'capped')),
    -- Which cap, in the words of the staged actions; empty for a suspension.
    cap text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (feed, what, cap)
);
