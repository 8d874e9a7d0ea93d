"""The SQL of slowing down those who guess."""

from __future__ import annotations

from troth.store.statement import Claim, Write

#: Counts an attempt unless its bucket is blocked. Past the free ones each attempt doubles the wait: 1 s, 2 s … 15 min.
#: A quiet hour forgets. Counting comes before checking, so that guesses made at once are not all free.
ATTEMPT_TAKE = Claim(
    "login_attempt_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::timestamptz[])
                  AS t(n, bucket, free, at)),
            w AS (INSERT INTO login_attempt AS a (bucket, attempts, free, last_at, blocked_until)
                  SELECT bucket, 1, free, at, at FROM i
                  ON CONFLICT (bucket) DO UPDATE SET
                      attempts = CASE WHEN a.last_at < excluded.last_at - interval '1 hour' THEN 1
                                      ELSE LEAST(a.attempts + 1, 10000) END,
                      free = excluded.free,
                      last_at = excluded.last_at,
                      blocked_until = excluded.last_at + CASE
                          WHEN a.last_at < excluded.last_at - interval '1 hour' OR a.attempts < excluded.free
                          THEN interval '0 seconds'
                          ELSE LEAST(900, power(2, LEAST(a.attempts - excluded.free, 10))) * interval '1 second' END
                  WHERE a.blocked_until <= excluded.last_at
                  RETURNING bucket)
       SELECT i.n FROM i JOIN w USING (bucket)""",
    ("text", "int", "timestamptz"),
    rank=30,
)
ATTEMPT_FORGET = Write(
    "login_attempt_forget",
    "DELETE FROM login_attempt a USING unnest($1::text[]) AS i(bucket) WHERE a.bucket = i.bucket",
    ("text",),
)
#: A success gives its own attempt back to the address, and no more: an account of one's own buys no guesses.
ATTEMPT_GIVE_BACK = Write(
    "login_attempt_give_back",
    """UPDATE login_attempt a SET attempts = GREATEST(a.attempts - 1, 0)
       FROM (SELECT DISTINCT bucket FROM unnest($1::text[]) AS u(bucket)) AS i WHERE a.bucket = i.bucket""",
    ("text",),
)
ATTEMPT_SWEEP = Write(
    "login_attempt_sweep",
    """DELETE FROM login_attempt a USING unnest($1::timestamptz[]) AS i(before)
       WHERE a.last_at < i.before AND a.blocked_until < i.before""",
    ("timestamptz",),
    rank=95,
)
