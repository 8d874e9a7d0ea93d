"""Whom a request is about.

DNS names belong to subjects by the directory (``names:``) or because a workload is called so. A name that nobody holds
becomes a workload of that name: it is born in the same write unit as the first decision about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from troth.audit.event import Event
from troth.kit.ids import new_id, parse_id
from troth.store.unit import Unit
from troth.trust.errors import SUBJECT_NOT_FOUND, SUBJECT_RACED, Retryable, TrustError
from troth.trust.model import Kind, Subject
from troth.trust.subjects.store import CREATE_SUBJECT, SubjectStore, creation


class Subjects:
    """Finds subjects, and adds those that a request brings into being."""

    def __init__(self, store: SubjectStore) -> None:
        self._store = store

    async def resolve(self, names: Sequence[str], *, origin: str) -> tuple[Subject, ...]:
        """The subjects that ``names`` belong to, each once, with the names that led to it.

        Unknown names become fresh workloads whose ``origin`` is the door that met them first (``acme``); they exist
        once a unit made with :func:`add_fresh` (or a verdict about them) is committed. Names are compared in lower
        case.
        """
        wanted = tuple(dict.fromkeys(name.lower().removesuffix(".") for name in names))
        known = await self._store.by_names(wanted)
        found: dict[object, Subject] = {}
        for name in wanted:
            subject = known.get(name)
            if subject is None:
                fresh = Subject(new_id(), Kind.WORKLOAD, name, origin, fresh=True, names=(name,))
                found[fresh.id] = fresh
                continue
            holder = found.get(subject.id, subject)
            found[subject.id] = replace(holder, names=(*holder.names, name))
        return tuple(found.values())

    async def protected(self) -> tuple[UUID, ...]:
        """Subjects that automation only alarms about: Troth itself, and whoever is declared so."""
        return await self._store.protected()

    async def find(self, text: str, *, kind: Kind | None = None) -> Subject:
        """The subject that ``text`` names: an id, a name, or ``kind:name``. Raises TrustError if none or several do."""
        identifier = parse_id(text)
        if identifier is not None:
            subject = await self._store.by_id(identifier)
            if subject is not None:
                return subject
        prefix, colon, rest = text.partition(":")
        if colon and prefix in {kind.value for kind in Kind}:
            kind, text = Kind(prefix), rest
        found = [subject for subject in await self._store.named(text) if kind in (None, subject.kind)]
        if not found:
            found = list((await self._store.by_names([text.lower()])).values())
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(f"{subject.kind.value}:{subject.name}" for subject in found)
            raise TrustError(SUBJECT_NOT_FOUND, f"{text!r} may mean several subjects: {choices}")
        raise TrustError(SUBJECT_NOT_FOUND, f"no subject is called {text!r}")


def add_fresh(unit: Unit, subjects: Iterable[Subject], *, actor: str, at: datetime) -> Unit:
    """Add the rows and events of the fresh ones among ``subjects`` to ``unit``.

    The commit raises Retryable (``trust.subject.raced``) if another request made one of them first.
    """
    for subject in subjects:
        if not subject.fresh:
            continue
        key = (CREATE_SUBJECT.name, subject.kind, subject.name)
        unit.claim(CREATE_SUBJECT, *creation(subject, at), refuse=partial(_raced, subject), key=key)
        unit.record(created(subject, actor))
    return unit


def _raced(subject: Subject) -> Retryable:
    return Retryable(SUBJECT_RACED, f"{subject.kind.value} {subject.name} was made by another request meanwhile")


def created(subject: Subject, actor: str) -> Event:
    """The ledger event of a subject's birth."""
    return Event(
        "subject.created",
        actor,
        (subject.ref,),
        {
            "subject_id": str(subject.id),
            "kind": subject.kind.value,
            "name": subject.name,
            "origin": subject.origin,
            "owner_id": str(subject.owner.id) if subject.owner else None,
            "protected": subject.protected,
        },
    )
