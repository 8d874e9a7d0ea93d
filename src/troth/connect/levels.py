"""A level, told when it changes: who is on another system's list now, beside who was on it the last time.

Lists such as the hosts that are contained, or the users that are suspended, say nothing of when somebody came or went.
So the list as it was is the cursor, and what differs is told. The list must be whole: one that stops in the middle
would read as everybody behind it being let back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from troth.kit.canonical import Json


@dataclass(frozen=True, slots=True)
class Level:
    """What has changed between two looks.

    Attributes:
        changed: (who, whether listed now), those who came first, each in order.
        since: names the look before, so that what is told of a change has the same name when it is told again.
        cursor: to be stored with what was told.
    """

    changed: tuple[tuple[str, bool], ...]
    since: str
    cursor: Json


def level(cursor: Json, name: str, present: Collection[str], at: datetime) -> Level:
    """Compare ``present`` with the list that ``cursor`` keeps under ``name``; ``at``: before it was read."""
    known = cursor if isinstance(cursor, dict) else {}
    listed = known.get(name)
    before = {str(one) for one in listed} if isinstance(listed, list) else set[str]()
    here = set(present)
    changed = [(one, True) for one in sorted(here - before)] + [(one, False) for one in sorted(before - here)]
    since = str(known.get("at") or f"first-{at.isoformat()}")
    return Level(tuple(changed), since, {name: sorted(here), "at": at.isoformat()})
