"""Taking the demonstration away: accusations taken back, certificates revoked, subjects removed, feeds suspended.

Only what the demonstration's own source declared is touched. The ledger keeps what happened, as it keeps everything;
and a feed is never forgotten, or its signals in the ledger would speak for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

from troth.cli.demo import fleet
from troth.cli.demo.doors import Doors
from troth.cli.demo.feeds import Feed
from troth.cli.demo.story import Story
from troth.kit.clock import Clock

#: RFC 5280, 5.3.1: cessationOfOperation.
_CESSATION = 5


class TakenAway(msgspec.Struct, kw_only=True):
    """How much of each was there, and is no more."""

    subjects: int = 0
    certificates: int = 0
    accusations: int = 0


async def clean(doors: Doors, story: Story, clock: Clock, feeds: Callable[[], Mapping[str, Feed]]) -> TakenAway:
    """Take away what :class:`troth.cli.demo.walk.Walk` made. ``feeds`` makes them, with fresh secrets."""
    taken = TakenAway()
    story.title("Take the demonstration away")
    named = [row.id for kind in ("user", "device", "workload") for row in doors.subjects(kind).values()]
    ours = [one for one in named if doors.origin(one) == fleet.SOURCE]
    if not ours:
        story.tell("Nothing of it is here.")
        return taken
    suspects = accused(doors)
    if suspects:
        await take_back(feeds(), suspects, "The demonstration is over.")
        taken.accusations = len(suspects)
        story.tell(f"{len(suspects)} accusations are taken back, and what waited for a person because of them.")
    for subject_id in ours:
        taken.certificates += _revoke(doors, subject_id, clock)
    story.tell(f"{taken.certificates} certificates are revoked (cessationOfOperation).")
    changes = doors.apply(fleet.nobody(), prune=True)
    taken.subjects = sum(number for (_, action), number in changes.items() if action == "removed")
    story.tell(f"{taken.subjects} subjects are removed.")
    doors.apply(fleet.feeds(suspended=True))
    story.tell("The three feeds are suspended, and nobody has their secrets. The ledger keeps the story.")
    story.see("/subjects")
    return taken


def accused(doors: Doors) -> list[str]:
    """Devices of which a feed has said something that still stands, or waits for a person."""
    rows = doors.subjects("device")
    waiting = {one.subject.name for one in doors.staged(fleet.SENSOR)}
    suspects = [fleet.HERO, *(one.name for one in fleet.storm())]
    return [name for name in suspects if name in rows and (name in waiting or rows[name].standing != "trusted")]


async def take_back(feeds: Mapping[str, Feed], names: Sequence[str], evidence: str) -> None:
    """Have each feed clear what it said of the devices ``names``."""
    for name in names:
        await feeds[fleet.EDR if name == fleet.HERO else fleet.SENSOR].say("edr.cleared", name, evidence)


def _revoke(doors: Doors, subject_id: UUID, clock: Clock) -> int:
    alive = [one for one in doors.certificates(subject_id) if one.serves(clock.now())]
    for one in alive:
        doors.revoke(one.id, _CESSATION, "troth demo --clean")
    return len(alive)
