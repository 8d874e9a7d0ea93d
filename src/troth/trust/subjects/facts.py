"""Facts come up through one port: :class:`FactSource`. The judge asks every source at once, within a time budget.

What the database holds (directory, posture, what feeds reported) is one source; connectors add theirs. A source that
fails or is late contributes nothing, and the snapshot says so: its attributes are then unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from troth.kit.canonical import Json
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.trust.model import FeedState, Kind, Seen, Subject
from troth.trust.subjects.store import Fact, SubjectStore

log = get_logger("trust")

#: The source of what a host's own agent says; ``agent:efi`` says how it knows.
SELF_REPORTED = "agent"
#: What an agent may say against its own host, and be believed. Nothing else that it says counts in a decision: a host
#: in other hands says whatever helps it.
ADVERSE: Mapping[str, bool] = {
    "posture.disk_encrypted": False,
    "posture.firewall": False,
    "posture.secure_boot": False,
    "posture.screen_lock": False,
    "posture.os_supported": False,
    "posture.edr_running": False,
    "posture.reboot_required": True,
    "posture.jailbroken": True,
}
#: An agent's word against its host gives way to a manager's that is newer by more than this.
_ADVERSE_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Observation:
    """One value that a source reports of one subject."""

    subject_id: UUID
    path: str
    value: Json
    source: str
    observed_at: datetime


class FactSource(Protocol):
    """Somebody who knows something about subjects."""

    @property
    def name(self) -> str:
        """How decisions call it: ``directory``, ``intune``."""
        ...

    async def gather(self, subjects: Sequence[Subject], paths: frozenset[str]) -> Sequence[Observation]:
        """What it knows of ``subjects``, as far as ``paths`` ask. May be cancelled when the budget is spent."""
        ...


class FeedHealth(Protocol):
    """Somebody who knows which feeds are late, stale or dead."""

    async def down(self) -> Sequence[FeedState]:
        """Every feed that does not report as it should."""
        ...


class StoredFacts:
    """The facts in the database, by whatever source they came."""

    name = "database"

    def __init__(self, store: SubjectStore) -> None:
        self._store = store

    async def gather(self, subjects: Sequence[Subject], paths: frozenset[str]) -> Sequence[Observation]:
        known = [subject.id for subject in subjects if not subject.fresh]
        if not known:
            return ()
        return [_observation(fact) for fact in await self._store.facts(known, sorted(paths))]


def _observation(fact: Fact) -> Observation:
    return Observation(fact.subject_id, fact.name, fact.value, fact.source, fact.observed_at)


async def gather(
    sources: Sequence[FactSource], subjects: Sequence[Subject], paths: frozenset[str], *, budget: float
) -> tuple[list[Observation], tuple[tuple[str, str], ...]]:
    """Ask all ``sources`` at once, each for at most ``budget`` seconds: the observations, and (source, what failed).

    Sources are not asked at all when no path is wanted.
    """
    if not paths or not subjects:
        return [], ()

    async def ask(source: FactSource) -> Sequence[Observation] | str:
        try:
            async with asyncio.timeout(budget):
                return await source.gather(subjects, paths)
        except TimeoutError:
            return f"did not answer within {int(budget * 1000)} ms"
        except TrothError as error:
            return error.code
        except Exception as error:
            # Any failure of a source means "unknown", never "fine" and never "nobody gets a certificate".
            log.warning("fact_source.failed", source=source.name, error=type(error).__name__, exc_info=True)
            return "failed"

    answers = await asyncio.gather(*(ask(source) for source in sources))
    found: list[Observation] = []
    failures: list[tuple[str, str]] = []
    for source, answer in zip(sources, answers, strict=True):
        if isinstance(answer, str):
            failures.append((source.name, answer))
        else:
            found += answer
    return found, tuple(sorted(failures))


def newest(observations: Iterable[Observation]) -> dict[str, Observation]:
    """One observation per attribute: the newest, and of two equally new the one whose source sorts first.

    A host's own agent may raise, never clear or grant: of what it says only the :data:`ADVERSE` counts, and that stands
    against another source's better word, unless that one is newer by more than a day.
    """
    found: dict[str, Observation] = {}
    own: dict[str, Observation] = {}
    for one in observations:
        kept = own if is_self_reported(one.source) else found
        best = kept.get(one.path)
        if best is None or (one.observed_at, best.source) > (best.observed_at, one.source):
            kept[one.path] = one
    for path, one in own.items():
        if path not in ADVERSE or one.value is not ADVERSE[path]:
            continue
        other = found.get(path)
        if other is None or other.observed_at - one.observed_at <= _ADVERSE_FOR:
            found[path] = one
    return found


def is_self_reported(source: str) -> bool:
    """Whether ``source`` is the host's own agent."""
    return source.startswith(SELF_REPORTED) and (source == SELF_REPORTED or source.startswith(f"{SELF_REPORTED}:"))


def own_attributes(subject: Subject, at: datetime, wanted: frozenset[str]) -> dict[str, Seen]:
    """What the rows of ``subject`` and its owner say, as values: ``subject.*``, ``device.*``, ``user.*`` …; of them
    the ``wanted`` ones."""
    found = {path: Seen(path, _OWN[path](subject), "troth", at) for path in _OWN.keys() & wanted}
    for one in (subject.owner, subject):
        if one is not None and (one is subject or one.kind is not subject.kind):
            _describe(one, at, wanted, found)
    return found


_OWN: Mapping[str, Callable[[Subject], Json]] = {
    "subject.kind": lambda one: one.kind.value,
    "subject.name": lambda one: one.name,
    "subject.groups": lambda one: list(one.groups),
    "subject.standing": lambda one: one.standing.value,
    "subject.protected": lambda one: one.protected,
    "subject.origin": lambda one: one.origin,
}


def _describe(subject: Subject, at: datetime, wanted: frozenset[str], found: dict[str, Seen]) -> None:
    root, since = subject.kind.value, subject.confirmed_at or at
    said: Mapping[str, Json] = {**subject.attributes, "name": subject.name, "groups": list(subject.groups)}
    for name, value in said.items():
        path = f"{root}.{name}"
        if path in wanted:
            found[path] = Seen(path, value, subject.origin, since)


def concerns(observation: Observation, subject: Subject) -> bool:
    """Whether an observation is about what ``subject`` is judged by.

    Everything said of itself; of an owner only what describes the owner (``user.*`` of a user): the posture of a
    person's other device is not this device's.
    """
    if observation.subject_id is subject.id or observation.subject_id == subject.id:  # UUID compares in Python
        return True
    owner = subject.owner
    if owner is None or observation.subject_id != owner.id or owner.kind is subject.kind:
        return False
    return observation.path.startswith(f"{owner.kind.value}.") or owner.kind is Kind.DEVICE
