"""Subjects with their causes and facts, and the decisions about them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.trust.decision.counterfactual import Counterfactual
from troth.trust.decision.explain import Tone, explain
from troth.trust.decision.why import ways_out_of
from troth.trust.errors import TrustError
from troth.trust.model import ConditionResult, Decision, Kind, Seen
from troth.trust.model import Subject as KnownSubject
from troth.trust.policy.store import PolicyStore
from troth.trust.signals import signal_store
from troth.trust.signals.causes import HoldCause
from troth.trust.standing import Standing
from troth.trust.standings.assessor import Assessor
from troth.trust.standings.explain import told_of
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects
from troth.trust.wording import span
from troth.web.books.store import BookStore
from troth.web.errors import MALFORMED, WebError
from troth.web.views import (
    CauseView,
    ConditionView,
    DecisionView,
    FactView,
    Owned,
    Page,
    SeenView,
    Subject,
    SubjectFilter,
    SubjectLink,
    SubjectRow,
)


class SubjectPages:
    """See :class:`troth.web.services.SubjectBook`."""

    def __init__(self, database: Database, clock: Clock, finder: Subjects) -> None:
        self._database = database
        self._clock = clock
        self._store = SubjectStore(database)
        self._books = BookStore(database)
        self._policies = PolicyStore(database)
        self._finder = finder
        self._assessor = Assessor()

    async def search(self, wanted: SubjectFilter) -> Page[SubjectRow]:
        after = ("", UUID(int=0))
        if wanted.cursor is not None:
            identifier, _, name = wanted.cursor.partition(".")
            last = parse_id(identifier)
            if last is None:
                raise WebError(MALFORMED, "this cursor is none of ours")
            after = (name, last)
        found = await self._store.page(
            prefix=wanted.text,
            kind=Kind(wanted.kind) if wanted.kind else None,
            standing=Standing(wanted.standing) if wanted.standing else None,
            after=after,
            limit=wanted.limit + 1,
        )
        shown = found[: wanted.limit]
        counts = await self._books.certificates_of([subject.id for subject in shown])
        rows = [SubjectRow(**_row(subject, counts.get(subject.id, 0))) for subject in shown]  # type: ignore[arg-type]
        return Page(rows, f"{shown[-1].id}.{shown[-1].name}" if len(found) > wanted.limit else None)

    async def get(self, subject_id: UUID) -> Subject | None:
        known = await self._store.by_id(subject_id)
        if known is None:
            return None
        counts = await self._books.certificates_of([known.id])
        latest = await self._policies.decisions_of(known.id, limit=1)
        bounds: dict[str, int] = {}
        for condition in latest[0].decision.conditions if latest else ():
            for path, seconds in condition.limits:
                bounds[path] = min(seconds, bounds.get(path, seconds))
        return Subject(
            **_row(known, counts.get(known.id, 0)),  # type: ignore[arg-type]
            origin=known.origin,
            owner_id=known.owner.id if known.owner else None,
            confirmed_at=known.confirmed_at,
            groups=known.groups,
            names=tuple((await self._store.names_of([known.id])).get(known.id, ())),
            causes=tuple(_cause(one) for one in await signal_store.causes_of(self._database, known.id)),
            facts=(*self._declared(known), *await self._observed(known.id, bounds)),
            decision_id=latest[0].decision.id if latest else None,
            explained=await self._explained(known.id),
            owns=tuple(Owned(**dict(row)) for row in await self._books.owned_by(known.id)),
        )

    async def _explained(self, subject_id: UUID) -> tuple[str, ...]:
        """Why it stands where it does now, in sentences."""
        causes = await signal_store.causes_of(self._database, subject_id)
        return told_of(await self._assessor.look(self._database, subject_id, causes, self._clock.now()))

    def _declared(self, known: KnownSubject) -> list[FactView]:
        seen = known.confirmed_at or self._clock.now()
        return [
            FactView(f"{known.kind.value}.{name}", value, known.origin, seen)
            for name, value in sorted(known.attributes.items())
        ]

    async def _observed(self, subject_id: UUID, bounds: dict[str, int]) -> list[FactView]:
        """What sources report; a fact older than the bound that the latest decision set for it is stale."""
        now = self._clock.now()
        return [
            FactView(
                fact.name, fact.value, fact.source, fact.observed_at,
                fact.name in bounds and (now - fact.observed_at).total_seconds() >= bounds[fact.name],
            )
            for fact in await self._store.facts([subject_id])
        ]  # fmt: skip

    async def find(self, text: str) -> UUID | None:
        try:
            return (await self._finder.find(text)).id
        except TrustError:
            return None

    async def counts(self) -> dict[str, int]:
        return await self._books.standings()


def _row(known: KnownSubject, certificates: int) -> dict[str, object]:
    return {
        "id": known.id,
        "kind": known.kind.value,
        "name": known.name,
        "standing": known.standing.value,
        "standing_since": known.standing_since,
        "protected": known.protected,
        "owner": known.owner.name if known.owner else None,
        "certificates": certificates,
    }


def _cause(cause: HoldCause) -> CauseView:
    kind, _, person = cause.feed.partition(":")
    source = f"admin:{person}" if kind == "person" else f"feed:{cause.feed}"
    clears = person if kind == "person" else f"a clearing signal of {cause.feed}"
    detail = f"approved by {cause.approved_by}" if cause.approved_by else ""
    return CauseView(cause.key, cause.level.value, source, cause.raised_at, detail, clears)


class Decisions:
    """See :class:`troth.web.services.DecisionBook`."""

    def __init__(self, database: Database) -> None:
        self._store = PolicyStore(database)

    async def get(self, decision_id: UUID) -> DecisionView | None:
        judged = await self._store.decision(decision_id)
        return None if judged is None else view(judged.decision, await ways_out_of(judged, self._store))

    async def of_subject(self, subject_id: UUID, *, limit: int = 20) -> Sequence[DecisionView]:
        found = await self._store.decisions_of(subject_id, limit=limit)
        # A way out is computed for the latest alone: it is what a person asks about, and each takes a while.
        return [
            view(judged.decision, await ways_out_of(judged, self._store) if place == 0 else ())
            for place, judged in enumerate(found)
        ]


def view(decision: Decision, otherwise: Sequence[Counterfactual] = ()) -> DecisionView:
    """A decision as pages, API and ``troth why`` show it: in the words of :mod:`troth.trust.decision.explain`."""
    explanation = explain(decision, otherwise)
    lines = explanation.lines
    obligations = decision.obligations
    told = []
    if obligations.lifetime is not None:
        told.append(("Lifetime at most", span(obligations.lifetime)))
    if obligations.profile is not None:
        told.append(("Profile instead", obligations.profile))
    told += [
        (word, value)
        for word, value in (
            ("Network profile", obligations.network),
            ("Role", obligations.role),
            ("VLAN", obligations.vlan),
            ("Filter", obligations.acl),
        )
        if value is not None
    ]
    if obligations.approval is not None:
        told.append(("A person must approve", f"within {span(obligations.approval)}"))
    if obligations.session_time is not None:
        told.append(("Asked anew after", span(obligations.session_time)))
    if obligations.notify:
        told.append(("To be told", ", ".join(obligations.notify)))
    if obligations.say:
        told.append(("To the person", obligations.say))
    return DecisionView(
        id=decision.id,
        at=decision.at,
        moment=decision.moment.value,
        outcome=decision.outcome.value,
        asked=decision.asked,
        reason=decision.reason,
        subject=SubjectLink(
            decision.subject.id, decision.subject.kind.value, decision.subject.name, decision.subject.standing.value
        ),
        policy=decision.policy,
        policy_version=decision.policy_version,
        rule=decision.rule,
        sentence=" ".join(line.text for line in lines[:2]),
        conditions=tuple(_condition(one, decision) for one in decision.conditions),
        changes=tuple(line.text for line in lines if line.tone is Tone.FIX),
        skipped=decision.skipped,
        obligations=tuple(told),
        request=tuple(_seen(one, decision) for one in decision.request),
        failures=tuple(f"{source} could not be asked: {what}." for source, what in decision.failures),
        lines=tuple(explanation.text().splitlines()),
    )


def _condition(condition: ConditionResult, decision: Decision) -> ConditionView:
    why = [
        f"{cause.path}: {cause.detail}" if cause.path else cause.detail[:1].upper() + cause.detail[1:]
        for cause in condition.causes
    ]
    why += [f"{cause.excused_by} is down, so its last word was taken" for cause in condition.causes if cause.excused_by]
    return ConditionView(
        condition.name, condition.expression, condition.result.value,
        tuple(_seen(one, decision) for one in condition.seen), tuple(why), condition.fix,
    )  # fmt: skip


def _seen(seen: Seen, decision: Decision) -> SeenView:
    age = max(0, int((decision.at - seen.observed_at).total_seconds()))
    return SeenView(seen.path, seen.value, seen.source, seen.observed_at, age)
