"""What signals have left behind, as facts for the judge: ``signals.*``.

That nothing is open is knowledge, not ignorance: the lists are then empty, and a condition on them is answered. Only if
the database cannot be asked are they unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.unit import Reader
from troth.trust.model import Subject
from troth.trust.signals.fact_store import OpenCause, open_causes, scores
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

#: Classes of source, as signals and quorum know them: the first part of a kind.
CLASSES = frozenset({"edr", "mdm", "idp", "network", "integrity", "generic", "person"})

_PERSON = "person:"


class SignalFacts:
    """A :class:`~troth.trust.subjects.facts.FactSource` over the open causes."""

    name = "signals"

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def gather(self, subjects: Sequence[Subject], paths: frozenset[str]) -> Sequence[Observation]:
        """See :class:`~troth.trust.subjects.facts.FactSource`."""
        wanted = {path for path in paths if path.startswith("signals.")}
        if not wanted:
            return ()
        known = [subject.id for subject in subjects if not subject.fresh]
        causes = await open_causes(self._reader, known) if known else []
        weighed = await scores(self._reader, known) if known and "signals.score" in wanted else {}
        at = self._clock.now()
        found: list[Observation] = []
        for subject in subjects:
            said = described([one for one in causes if one.subject_id == subject.id], weighed.get(subject.id, 0))
            found += [
                Observation(subject.id, path, value, "troth", at) for path, value in said.items() if path in wanted
            ]
        return found


def described(causes: Sequence[OpenCause], score: int = 0) -> dict[str, Json]:
    """``signals.*`` of one subject's open causes; ``score`` in millionths."""
    ordered = sorted(causes, key=lambda one: (one.raised_at, one.feed, one.kind))
    said: dict[str, Json] = {
        "signals.open": [one.kind for one in ordered],
        "signals.feeds": _distinct([one.feed for one in ordered]),
        "signals.classes": _distinct([class_of(one.feed, one.kind) for one in ordered]),
        "signals.count": len(ordered),
        "signals.severity": max((one.severity for one in ordered), default=0),
        "signals.score": -(-score // 10_000),
    }
    for level in (Standing.RESTRICTED, Standing.QUARANTINED, Standing.DISTRUSTED):
        said[f"signals.{level.value}"] = [one.kind for one in ordered if one.level is level]
    if ordered:
        said["signals.oldest"] = ordered[0].raised_at.isoformat()
        said["signals.newest"] = ordered[-1].raised_at.isoformat()
    return said


def class_of(feed: str, kind: str) -> str:
    """The class of source that a cause came from."""
    if feed.startswith(_PERSON):
        return "person"
    first = kind.partition(".")[0]
    return first if first in CLASSES else "generic"


def _distinct(words: Sequence[str]) -> list[Json]:
    return list(dict.fromkeys(words))
