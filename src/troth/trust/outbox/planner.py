"""The outbox's place in the transaction that changes a standing: one row for each effect, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.access.model import ordered_by_people
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.unit import Reader, Unit
from troth.trust.model import Subject
from troth.trust.outbox import store
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.errors import ReactionsInvalid
from troth.trust.outbox.model import Effect, Notice
from troth.trust.outbox.plan import PlannedEffect, StandingChange, plan
from troth.trust.outbox.reactions import Reactions, parse_reactions, shipped
from troth.trust.signals.causes import HoldCause
from troth.trust.standing import Standing, meaning

log = get_logger("trust")

#: More causes are not told to others; the subject's page has them all.
_CAUSES: Final = 20


class Outbox:
    """Plans effects. Keeps nothing but the reactions it read last, which a version number in each plan verifies."""

    def __init__(self) -> None:
        self._reactions = parse_reactions(shipped())

    async def plan(
        self,
        reader: Reader,
        unit: Unit,
        subject: Subject,
        after: Standing,
        causes: Iterable[HoldCause],
        *,
        actor: str,
        signal_id: UUID,
        at: datetime,
        accepted_at: datetime | None = None,
    ) -> None:
        """Add to ``unit`` what ``subject`` (locked, and as before) becoming ``after`` sets going.

        Args:
            causes: the subject's causes, the changed one in its new form.
            accepted_at: when the signal was accepted, if that was before ``at``.
        """
        version, opened = await store.open_of(reader, subject.id)
        reactions = await self._in_force(reader, version)
        causes = tuple(causes)
        opened_causes = [cause for cause in causes if cause.open]
        feeds = {cause.feed for cause in opened_causes} or {cause.feed for cause in causes}
        change = StandingChange(
            subject.kind.value, subject.groups, feeds, subject.protected, subject.standing, after
        )  # fmt: skip
        planned = plan(change, reactions, opened)
        for effect_id in planned.superseded:
            store.supersede(unit, effect_id, at=at, detail=f"the subject became {after.value} before it was sent")
        if not planned.effects:
            return
        notice = Notice(
            kind=subject.kind.value,
            name=subject.name,
            before=subject.standing.value,
            after=after.value,
            version=subject.standing_version + 1,
            causes=tuple(
                {"feed": cause.feed, "cause": cause.key, "level": cause.level.value}
                for cause in opened_causes[:_CAUSES]
            ),
            tell=tuple(one.value for one in meaning(max(subject.standing, after)).tell),
        )
        made: list[Json] = []
        for one in planned.effects:
            effect = Effect(
                id=new_id(), subject_id=subject.id, standing_version=subject.standing_version + 1, port=one.port.name,
                target=one.target, acting=one.port.acting, undo=one.undo, undone=False, notice=notice,
                signal_id=signal_id, actor=actor, automated=not ordered_by_people(actor),
                accepted_at=accepted_at or at, planned_at=at, due=at,
            )  # fmt: skip
            store.plan(unit, effect)
            made.append({"id": str(effect.id), "port": effect.port, "target": effect.target})
        unit.record(
            Event(
                "effects.planned",
                actor,
                (subject.ref, f"signal:{signal_id}"),
                {"subject_id": str(subject.id), "name": subject.name, "from": notice.before, "to": notice.after,
                 "reactions": reactions.version, "superseded": len(planned.superseded), "effects": made,
                 "what": ", ".join(_called(one) for one in planned.effects)},
            )
        )  # fmt: skip

    async def _in_force(self, reader: Reader, version: int) -> Reactions:
        if version != self._reactions.version:
            stored = await DocumentStore(reader).version(version)
            source = shipped() if stored is None else stored.source
            try:
                self._reactions = parse_reactions(source, version=version)
            except ReactionsInvalid as error:
                # Applied by another Troth with other words: what it would do cannot be known, so nothing of it is done.
                log.error("reactions.unusable", version=version, error=str(error))
                self._reactions = Reactions(version=version)
        return self._reactions


def _called(effect: PlannedEffect) -> str:
    return f"{effect.port.name} at {effect.target}" if effect.port.kind else effect.port.name
