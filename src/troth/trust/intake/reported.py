"""What other systems report of subjects without anything having happened: facts, and the names they go by there.

A report is about whom its ``whom`` names. If that is nobody, or several, nothing of it is guessed: it is counted as a
stranger's, for a person to look at (:mod:`troth.trust.intake.unresolved`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.store.unit import Reader, Unit
from troth.trust.feeds.model import Feed
from troth.trust.model import SKEW, Subject
from troth.trust.signals import alias_store
from troth.trust.signals.alias_store import Alias
from troth.trust.signals.model import Whom
from troth.trust.subjects.facts import SELF_REPORTED, Observation
from troth.trust.subjects.store import PUT_FACT, SubjectStore, encoded
from troth.trust.vocabulary import FACT_ROOTS, OPEN_ROOTS, VOCABULARY, Type, is_path, misfit

#: Look-ups that are asked for together.
_AT_ONCE: Final = 100
MAX_VALUES: Final = 64
#: How sure an alias is that was learned by a name which proves nothing, of 100.
_WEAK: Final = 40


@dataclass(frozen=True, slots=True)
class Reported:
    """What a system says of one subject.

    Attributes:
        values: attribute → value: ``{"posture.compliant": False}``.
        proved: that ``whom`` is believed though it names its subject by what proves nothing (a serial number).
        aliases: (system, value) pairs by which the reporting system knows it: ``("crowdstrike.aid", "…")``.
    """

    whom: Whom
    observed_at: datetime
    values: Mapping[str, Json] = field(default_factory=dict)
    aliases: tuple[tuple[str, str], ...] = ()
    proved: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A report with whom it means. ``weak``: found by a name that proves nothing."""

    report: Reported
    subject_id: UUID
    weak: bool


@dataclass(frozen=True, slots=True)
class Sorted:
    """Reports about somebody we know; and those about nobody, or (True) about several."""

    known: tuple[Known, ...]
    strangers: tuple[tuple[Reported, bool], ...]


async def resolve_all(reader: Reader, reports: Sequence[Reported]) -> Sorted:
    """Look up whom each report means. Give it shared look-ups: it asks for many at once."""
    known: list[Known] = []
    strangers: list[tuple[Reported, bool]] = []
    for start in range(0, len(reports), _AT_ONCE):
        # A name with a NUL is nobody's, and cannot even be asked for.
        part = [one for one in reports[start : start + _AT_ONCE] if "\0" not in str(one.whom)]
        found = await asyncio.gather(*(alias_store.resolve(reader, one.whom) for one in part))
        for one, resolved in zip(part, found, strict=True):
            if len(resolved.ids) == 1:
                known.append(Known(one, resolved.ids[0], resolved.weak))
            else:
                strangers.append((one, len(resolved.ids) > 1))
    return Sorted(tuple(known), tuple(strangers))


def add_known(unit: Unit, feed: Feed, known: Sequence[Known], subjects: Mapping[UUID, Subject], *, at: datetime) -> int:
    """Add facts and aliases of ``known`` to ``unit``, as far as the feed's scope goes; returns how many facts.

    A value of a wrong type, or under a name that facts do not have, is left out: what reads it calls it unknown then.
    What is found by a weak name makes weak aliases: a sensor that claims another's serial number takes over nothing.
    """
    told: list[Observation] = []
    for one in known:
        subject = subjects.get(one.subject_id)
        if subject is None or not feed.covers(subject):
            continue
        report = one.report
        for system, value in report.aliases:
            if "\0" in value or not value:
                continue
            sure = _WEAK if one.weak and not report.proved else alias_store.STRONG
            alias_store.bind_alias(unit, Alias(system, value, subject.id, feed.name, sure, at))
        # As a host's own word it may stand against it, and never for it.
        source = feed.name if report.proved or not one.weak else f"{SELF_REPORTED}:{feed.name}"
        observed = min(report.observed_at, at + SKEW)
        for path, said in list(report.values.items())[:MAX_VALUES]:
            if fits(path, said):
                unit.write(PUT_FACT, subject.id, source, path, encoded(said), observed, at)
                told.append(Observation(subject.id, path, said, source, observed))
    if told:
        unit.then(partial(_tell_changes, feed, told))
    return len(told)


async def _tell_changes(feed: Feed, told: Sequence[Observation], reader: Reader, unit: Unit) -> None:
    """One event for each subject of whom something is said that was not said before: whoever decides from memory must
    hear of it. What is only said anew is no event."""
    names = sorted({one.path for one in told})
    before = {
        (fact.subject_id, fact.source, fact.name): fact
        for fact in await SubjectStore(reader).facts(list({one.subject_id for one in told}), names)
    }
    changed: dict[UUID, dict[str, Json]] = {}
    for one in told:
        known = before.get((one.subject_id, one.source, one.path))
        if known is None or (known.value != one.value and known.observed_at <= one.observed_at):
            changed.setdefault(one.subject_id, {})[one.path] = one.value
    for subject_id, values in changed.items():
        data: dict[str, Json] = {"subject_id": str(subject_id), "source": feed.name, "values": values}
        unit.record(Event("fact.reported", f"feed:{feed.name}", (f"subject:{subject_id}",), data))


def fits(path: str, value: Json) -> bool:
    """Whether ``value`` may stand under ``path`` as a fact."""
    root = path.partition(".")[0]
    if not is_path(path) or root not in FACT_ROOTS:
        return False
    known = VOCABULARY.get(path)
    if known is not None:
        return misfit(value, known.type) is None and "\0" not in str(value)
    if isinstance(value, str) and "\0" in value:
        return False
    return root in OPEN_ROOTS and any(misfit(value, kind) is None for kind in Type)
