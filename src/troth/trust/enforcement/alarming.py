"""Calling people when a feed is suspended or a cap is reached, and when that is over: once each, whoever did it.

It is seen from what is so, not from what brings it about: a signal, an evaluation of everybody, a file, a person. So no
way of suspending a feed or of meeting a cap can be forgotten, and the path of a signal does nothing for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement import alarm_store
from troth.trust.enforcement.alarm_store import News
from troth.trust.outbox import alarms
from troth.trust.outbox.model import Alarm
from troth.trust.standings import rules_store
from troth.trust.standings.service import RulesCache

ACTOR: Final = "system:watch"


class _Said(Exception):
    """Another worker said it first."""


class FeedAlarms:
    """Says what is new about feeds to the ``notify`` of the standing document's caps. Run by the worker."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._rules = RulesCache()

    async def run_once(self) -> int:
        """Tell what nobody was told; returns how much that is."""
        found = await alarm_store.news(self._database)
        if not found:
            return 0
        newest = await rules_store.rules_version(self._database)
        rules = await self._rules.of(self._database, 0 if newest is None else newest.version)
        told, now = 0, self._clock.now()
        for one in found:
            unit, since = Unit(), one.since or now
            if one.told:
                alarm_store.end(unit, one, refuse=_Said())
            else:
                alarm_store.begin(unit, one, since, refuse=_Said())
            if one.what == "capped":
                kind = "feed.uncapped" if one.told else "feed.capped"
                unit.record(Event(kind, ACTOR, (f"feed:{one.feed}",), {"feed": one.feed, "cap": one.cap}))
            alarms.call(
                unit, _alarm(one, since), rules.caps.notify, kind="feed", name=one.feed,
                actor=ACTOR, at=now,
            )  # fmt: skip
            try:
                await self._database.commit(unit)
            except _Said:
                continue
            told += 1
        return told


def _alarm(one: News, since: datetime) -> Alarm:
    began = since.isoformat(timespec="seconds")
    data = {"feed": one.feed, "since": began}
    if one.what == "suspended":
        if one.told:
            return Alarm(
                "feed.resumed", f"feed {one.feed} acts again",
                (f"The feed {one.feed}, suspended since {began}, is in force again.",
                 "What was staged meanwhile stays staged until a person settles it: troth staged list."),
                data, once=True,
            )  # fmt: skip
        by = one.by or "its definition"
        return Alarm(
            "feed.suspended", f"feed {one.feed} is suspended",
            (f"The feed {one.feed} is suspended by {by}{f': {one.why}' if one.why else ''}.",
             "What it asks for is staged for a person: troth staged list.",
             f"If it is right after all: troth feed resume {one.feed} --reason TEXT."),
            {**data, "by": by, "reason": one.why}, once=True,
        )  # fmt: skip
    if one.told:
        return Alarm(
            "feed.uncapped", f"feed {one.feed}: nothing waits any more for {one.cap}",
            (f"What the feed {one.feed} asked for beyond {one.cap} since {began} is settled.",),
            {**data, "cap": one.cap}, once=True,
        )  # fmt: skip
    return Alarm(
        "feed.capped", f"feed {one.feed} has reached {one.cap}",
        (f"The feed {one.feed} asks to restrict more subjects than {one.cap} allows.",
         f"{one.waiting} so far wait for a person; more may follow, and are not told one by one: troth staged list."),
        {**data, "cap": one.cap, "waiting": str(one.waiting)}, once=True,
    )  # fmt: skip
