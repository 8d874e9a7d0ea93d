"""SQL that locks and reads everything a signal is weighed against; of those that are taken together, all at once.

One feed's signals follow each other through its lock, so what is done under it is counted in round trips: on a busy
machine each costs two waits for a processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from troth.store.ahead import ReadAhead
from troth.store.statement import Guard
from troth.store.unit import Reader
from troth.trust.enforcement.action_store import StagedAction
from troth.trust.feeds import feed_store
from troth.trust.feeds.model import Feed
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.causes import HoldCause
from troth.trust.standings import ground_store
from troth.trust.standings.ground_store import Ground

#: The feed is there and ours until commit; the switch stays as it is until then (``freeze`` waits). The subject has a
#: guard of its own, after this one: signals of several feeds come in one batch, and everybody locks feeds first.
LOCK_FEED_AND_SWITCH = Guard(
    "signal_feed_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, feed)
       JOIN feed f ON f.name = i.feed CROSS JOIN enforcement_switch w ORDER BY f.name FOR UPDATE OF f FOR SHARE OF w""",
    ("text",),
    rank=10,
)

#: Feed and subject are there and ours until commit; the switch stays as it is until then (``freeze`` waits).
LOCK_SITUATION = Guard(
    "signal_situation_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::uuid[]) AS i(n, feed, subject_id)
       JOIN feed f ON f.name = i.feed JOIN subject s ON s.id = i.subject_id CROSS JOIN enforcement_switch w
       ORDER BY f.name, s.id FOR UPDATE OF f, s FOR SHARE OF w""",
    ("text", "uuid"),
    rank=10,
)

_SITUATION = f"""
SELECT {", ".join(f"f.{name} AS feed_{name}" for name in feed_store.COLUMNS)},
       {", ".join(f"s.{name} AS subject_{name}" for name in signal_store.SUBJECT_COLUMNS)},
       w.frozen,
       EXISTS (SELECT FROM signal g WHERE g.feed = f.name AND g.message_id = $3) AS taken,
       s.attributes ->> 'site' AS site,
       {ground_store.GROUND_COLUMNS.replace("$at", "$5")},
       COALESCE((SELECT jsonb_agg(to_jsonb(c) - 'subject_id') FROM hold_cause c WHERE c.subject_id = s.id
                 AND (c.cleared_at IS NULL OR (c.feed = f.name AND c.key = $4))), '[]') AS causes,
       COALESCE((SELECT jsonb_agg(to_jsonb(a)) FROM staged_action a WHERE a.subject_id = s.id
                 AND a.state = 'pending' AND a.feed = f.name AND a.cause = $4), '[]') AS waiting
FROM feed f CROSS JOIN subject s CROSS JOIN enforcement_switch w WHERE f.name = $1 AND s.id = $2"""

_causes = msgspec.json.Decoder(list[HoldCause])
_actions = msgspec.json.Decoder(list[StagedAction])


@dataclass(frozen=True, slots=True)
class Situation:
    """What a signal finds.

    Attributes:
        frozen: enforcement is stopped.
        taken: a signal of this feed and message id was taken before.
        site: where the subject is, if the directory says so.
        causes: the subject's open causes, and the one that the signal is about even if it is cleared.
        waiting: staged actions about the same cause.
    """

    feed: Feed
    subject: Subject
    frozen: bool
    taken: bool
    site: str | None
    ground: Ground
    causes: list[HoldCause]
    waiting: list[StagedAction]


def expect(ahead: ReadAhead, asked: Sequence[tuple[str, UUID, str, str, datetime]]) -> None:
    """Read at once what :func:`situation` is to be asked: feed, subject id, message id, cause, time."""
    ahead.expect(_SITUATION, ("text", "uuid", "text", "text", "timestamptz"), asked)


async def situation(
    reader: Reader, feed: str, subject_id: UUID, message_id: str, cause: str, at: datetime
) -> Situation | None:
    """Read under LOCK_SITUATION, or both of its parts. None if the feed or the subject is gone."""
    row = await reader.fetchrow(_SITUATION, feed, subject_id, message_id, cause, at)
    if row is None:
        return None
    return Situation(
        feed=feed_store.feed_of({name: row[f"feed_{name}"] for name in feed_store.COLUMNS}),
        subject=signal_store.subject_of({name: row[f"subject_{name}"] for name in signal_store.SUBJECT_COLUMNS}),
        frozen=row["frozen"],
        taken=row["taken"],
        site=row["site"],
        ground=ground_store.ground_of(row),
        causes=_causes.decode(row["causes"]),
        waiting=_actions.decode(row["waiting"]),
    )
