"""Applying a directory: compare with what is known, show it, and write exactly that.

Subjects that the file no longer names are left alone unless the apply says ``prune``: a shorter file is more often
somebody else's file than a mass dismissal. The plan is bound to the version it was made from, so that two applies at
once cannot both believe they saw the present.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.documents import DocumentError
from troth.trust.errors import DIRECTORY_CHANGED, Retryable
from troth.trust.model import Kind, Subject
from troth.trust.subjects.directory import RESERVED_SOURCES, Declared, DirectoryFile, bad, parse_directory
from troth.trust.subjects.directory_store import (
    DIRECTORY_UNCHANGED,
    DROP_FACTS,
    DROP_NAME,
    DROP_NAMES_OF,
    FIRST_DIRECTORY,
    NEXT_DIRECTORY,
    PUT_NAME,
    REMOVE_SUBJECT,
    UPDATE_SUBJECT,
)
from troth.trust.subjects.store import PUT_FACT, Fact, SubjectStore, encoded
from troth.trust.subjects.whom import add_fresh


@dataclass(frozen=True, slots=True)
class FactChange:
    """A source says something else than before (or for the first time)."""

    subject: Subject
    source: str
    path: str
    before: Json
    after: Json
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """A known subject is declared differently: field → (before, after)."""

    subject: Subject
    fields: Mapping[str, tuple[Json, Json]]


@dataclass(slots=True)
class DirectoryPlan:
    """What applying a file would do.

    Attributes:
        absent: subjects of this source that the file does not name; removed only if ``prune``.
        confirmed: those that stay exactly as they are.
    """

    file: DirectoryFile
    at: datetime
    version: int | None
    prune: bool
    created: list[Subject] = field(default_factory=list)
    changed: list[SubjectChange] = field(default_factory=list)
    confirmed: list[Subject] = field(default_factory=list)
    absent: list[Subject] = field(default_factory=list)
    facts: list[FactChange] = field(default_factory=list)
    _observed: list[tuple[UUID, str, str, Json, datetime]] = field(default_factory=list)
    _put_names: list[tuple[str, UUID]] = field(default_factory=list)
    _drop_names: list[tuple[str, UUID]] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether anything but the times of confirmation would be different afterwards."""
        return bool(self.created or self.changed or self.facts or (self.prune and self.absent))


class Directory:
    """Plans and applies directory files."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = SubjectStore(database)

    async def plan(self, text: str, *, file: str = "directory", prune: bool = False) -> DirectoryPlan:
        """Check ``text`` and compare it with what is known. Raises DirectoryError."""
        at = self._clock.now()
        parsed = parse_directory(text, at=at, file=file)
        try:
            return await self._compare(parsed, at, prune)
        except DocumentError as error:
            raise bad(file, error) from error

    async def apply(self, plan: DirectoryPlan, *, actor: str) -> None:
        """Write the plan in one unit. Raises Retryable if the directory or a subject changed since it was made."""
        await self._database.commit(self.unit(plan, actor=actor))

    async def _compare(self, file: DirectoryFile, at: datetime, prune: bool) -> DirectoryPlan:
        before = await self._store.directory(file.source)
        plan = DirectoryPlan(file, at, before[0] if before is not None else None, prune)
        keys = {declared.key for declared in file.subjects}
        owners = {(Kind.USER, declared.owner) for declared in file.subjects if declared.owner is not None}
        known = await self._store.all_named(sorted(keys | owners, key=lambda key: (key[0].value, key[1])))
        subjects = {
            declared.key: known.get(declared.key)
            or Subject(new_id(), declared.kind, declared.name, file.source, fresh=True)
            for declared in file.subjects
        }
        people = {**known, **subjects}
        ids = [subject.id for subject in known.values()]
        names = await self._store.names_of(ids)
        facts = {(fact.subject_id, fact.source, fact.name): fact for fact in await self._store.facts(ids)}
        plan.absent = [one for one in await self._store.of_origin(file.source) if (one.kind, one.name) not in keys]
        await self._check_names(file, subjects, plan)
        for declared in file.subjects:
            owner = None
            if declared.owner is not None:
                owner = people.get((Kind.USER, declared.owner))
                if owner is None:
                    raise DocumentError(
                        f"the owner {declared.owner!r} is no user, here or in what is known", declared.line, "owner"
                    )
            subject = subjects[declared.key]
            if subject.origin not in (file.source, *RESERVED_SOURCES):
                raise DocumentError(f"the directory {subject.origin!r} speaks for this subject", declared.line, "name")
            self._place(plan, declared, subject, owner, names.get(subject.id, []))
            self._observe(plan, declared, subject, facts)
        return plan

    async def _check_names(
        self, file: DirectoryFile, subjects: Mapping[tuple[Kind, str], Subject], plan: DirectoryPlan
    ) -> None:
        """A name that somebody else holds is a mistake in one of two files, unless that holder is being removed."""
        wanted = {name: declared for declared in file.subjects for name in declared.names}
        holders = await self._store.holders(list(wanted))
        ours = {subject.id for subject in subjects.values()}
        leaving = {subject.id for subject in plan.absent} if plan.prune else set()
        strangers = sorted(set(holders.values()) - ours - leaving)
        named = {subject.id: subject for subject in await self._store.by_ids(strangers)} if strangers else {}
        for name, holder in holders.items():
            if holder in named:
                other = named[holder]
                raise DocumentError(
                    f"the name {name!r} belongs to {other.kind.value} {other.name!r} (of {other.origin})",
                    wanted[name].line,
                    "names",
                )

    def _place(
        self, plan: DirectoryPlan, declared: Declared, subject: Subject, owner: Subject | None, names: Sequence[str]
    ) -> None:
        after = replace(
            subject, origin=plan.file.source, owner=owner, attributes=declared.attributes, groups=declared.groups,
            protected=declared.protected, names=declared.names,
        )  # fmt: skip
        plan._put_names += [(name, subject.id) for name in declared.names if name not in names]
        plan._drop_names += [(name, subject.id) for name in names if name not in declared.names]
        if subject.fresh:
            plan.created.append(after)
            return
        fields = _differences(replace(subject, names=tuple(names)), after)
        if fields:
            plan.changed.append(SubjectChange(after, fields))
        else:
            plan.confirmed.append(after)

    def _observe(
        self,
        plan: DirectoryPlan,
        declared: Declared,
        subject: Subject,
        facts: Mapping[tuple[UUID, str, str], Fact],
    ) -> None:
        for one in declared.facts:
            before = facts.get((subject.id, one.source, one.path))
            if before is not None and before.observed_at > one.observed_at:
                continue
            plan._observed.append((subject.id, one.source, one.path, one.value, one.observed_at))
            if before is None or before.value != one.value:
                earlier = before.value if before is not None else None
                plan.facts.append(FactChange(subject, one.source, one.path, earlier, one.value, one.observed_at))

    def unit(self, plan: DirectoryPlan, *, actor: str) -> Unit:
        """The write unit of ``plan``."""
        at, source = plan.at, plan.file.source
        unit = Unit()
        changed = Retryable(DIRECTORY_CHANGED, f"the directory of {source!r} was applied by somebody else meanwhile")
        if plan.version is None:
            unit.claim(FIRST_DIRECTORY, source, plan.file.sha256, at, actor, refuse=changed, key=("directory", source))
        else:
            unit.guard(DIRECTORY_UNCHANGED, source, plan.version, refuse=changed, key=("directory", source))
            unit.write(NEXT_DIRECTORY, source, plan.file.sha256, at, actor)
        add_fresh(unit, plan.created, actor=actor, at=at)
        for subject in (*plan.confirmed, *(change.subject for change in plan.changed)):
            owner = subject.owner.id if subject.owner else None
            unit.write(
                UPDATE_SUBJECT, subject.id, owner, source, encoded(subject.attributes), encoded(subject.groups),
                subject.protected, at,
            )  # fmt: skip
        for change in plan.changed:
            unit.record(_changed(change, actor))
        unit.write_all(DROP_NAME, plan._drop_names)
        unit.write_all(PUT_NAME, plan._put_names)
        for subject_id, said_by, path, value, observed in plan._observed:
            unit.write(PUT_FACT, subject_id, said_by, path, encoded(value), observed, at)
        for fact in plan.facts:
            unit.record(fact_changed(fact, actor))
        for subject in plan.absent if plan.prune else ():
            unit.write(REMOVE_SUBJECT, subject.id, at)
            unit.write(DROP_NAMES_OF, subject.id)
            unit.write(DROP_FACTS, subject.id)
            unit.record(Event("subject.removed", actor, (subject.ref,), {"subject_id": str(subject.id)}))
        return unit


def _differences(before: Subject, after: Subject) -> dict[str, tuple[Json, Json]]:
    pairs: dict[str, tuple[Json, Json]] = {
        "owner": (before.owner.name if before.owner else None, after.owner.name if after.owner else None),
        "origin": (before.origin, after.origin),
        "groups": (sorted(before.groups), sorted(after.groups)),
        "protected": (before.protected, after.protected),
        "names": (sorted(before.names), sorted(after.names)),
    }
    for name in sorted({*before.attributes, *after.attributes}):
        pairs[name] = (before.attributes.get(name), after.attributes.get(name))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _changed(change: SubjectChange, actor: str) -> Event:
    data: dict[str, Json] = {
        "subject_id": str(change.subject.id),
        "fields": {name: {"before": pair[0], "after": pair[1]} for name, pair in change.fields.items()},
    }
    return Event("subject.changed", actor, (change.subject.ref,), data)


def fact_changed(change: FactChange, actor: str) -> Event:
    """The ledger event of a fact that is not what it was."""
    data: dict[str, Json] = {
        "subject_id": str(change.subject.id),
        "name": change.path,
        "source": change.source,
        "before": change.before,
        "after": change.after,
        "observed_at": change.observed_at.isoformat(),
    }
    return Event("fact.changed", actor, (change.subject.ref,), data)
