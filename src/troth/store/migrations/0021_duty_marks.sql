-- When a duty last did what somebody would miss: /metrics tells how long ago that was.
CREATE TABLE duty_mark (
    name text PRIMARY KEY,
    at timestamptz NOT NULL
);
