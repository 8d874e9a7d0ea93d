"""``notify:`` of policies: whom a decision obliges to tell, told through the outbox, in the unit that records it.

A device that asks every minute and is refused every minute is told of once an hour for each rule and outcome: the id of
such an effect is made of what it says and of the hour, and what is there already is not written again.
"""

from __future__ import annotations

from uuid import UUID

from troth.store.unit import Unit
from troth.trust.model import Decision
from troth.trust.outbox import store
from troth.trust.outbox.hourly import once_an_hour
from troth.trust.outbox.model import Effect, Notice


def tell(unit: Unit, decision: Decision) -> None:
    """Add to ``unit`` a ``notify`` effect for each target that ``decision`` names."""
    if not decision.obligations.notify:
        return
    subject = decision.subject
    notice = Notice(
        kind=subject.kind.value,
        name=subject.name,
        before=subject.standing.value,
        after=subject.standing.value,
        version=subject.standing_version,
        decision={
            "id": str(decision.id),
            "moment": decision.moment.value,
            "asked": decision.asked,
            "outcome": decision.outcome.value,
            "reason": decision.reason,
            "policy": decision.policy or "",
            "rule": decision.rule or "",
        },
    )
    for target in dict.fromkeys(decision.obligations.notify):
        store.plan(
            unit,
            Effect(
                id=_id(decision, target), subject_id=subject.id, standing_version=subject.standing_version,
                port="notify", target=target, acting=False, undo="", undone=False, notice=notice,
                # It tells people what was decided anyway: a freeze of automation does not silence it.
                signal_id=decision.id, actor=f"policy:{decision.policy or 'none'}", automated=False,
                accepted_at=decision.at, planned_at=decision.at, due=decision.at,
            ),
        )  # fmt: skip


def _id(decision: Decision, target: str) -> UUID:
    return once_an_hour(
        decision.at, str(decision.subject.id), target, decision.policy or "", decision.rule or "",
        decision.moment.value, decision.asked, decision.outcome.value,
    )  # fmt: skip
