"""Signals that wait for each other, taken in one transaction: each is weighed as if those before it were committed.

They have their subjects to themselves, each another. What they have in common is told from one to the next: the counts
against caps (``enforcement.tally``), a feed that one of them has suspended, the status of a certificate that binds two
of the subjects (``pki.revocation``). Where that would not do, they are taken one by one (``Apart``). What each reads is
read for all of them at once (``store.ahead``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from troth.store.ahead import ReadAhead
from troth.store.unit import Member, Reader, Unit
from troth.trust.enforcement import cap_store, situation_store
from troth.trust.enforcement.tally import keep_tally
from troth.trust.feeds.model import Feed
from troth.trust.intake.taking import SUSPENDER, TakenBefore, Taking
from troth.trust.outbox import store as outbox_store
from troth.trust.signals.errors import SignalError


async def take_together(reader: Reader, members: Sequence[Member], _among: Sequence[Unit]) -> dict[int, Exception]:
    """The step of every signal's unit; its items are Takings. Whom the feed may not say that of is refused alone."""
    tasks: list[Taking] = [one.item for one in members]
    ahead = ReadAhead(reader, len(tasks))
    _expect(ahead, tasks)
    refused: dict[int, Exception] = {}
    suspended: dict[str, Feed] = {}
    for place, (task, member) in enumerate(zip(tasks, members, strict=True)):
        try:
            feed, found = await task.admit(ahead)
        except (TakenBefore, SignalError) as refusal:
            refused[place] = refusal
            continue
        feed = suspended.get(feed.name, feed)
        await task.weigh(ahead, member.unit, feed, found)
        if task.suspends is not None:
            suspended[feed.name] = replace(
                feed, suspended=True, suspended_by=SUSPENDER, suspended_why=task.suspends, suspended_at=task.at
            )
    return refused


def _expect(ahead: ReadAhead, tasks: Sequence[Taking]) -> None:
    asked = [asks for task in tasks if (asks := task.asks) is not None]
    situation_store.expect(ahead, asked)
    cap_store.expect_marks(ahead, [(feed, subject_id) for feed, subject_id, *_ in asked])
    outbox_store.expect_open(ahead, [subject_id for _, subject_id, *_ in asked])
    keep_tally(ahead, min(task.at for task in tasks), max(task.at for task in tasks))
