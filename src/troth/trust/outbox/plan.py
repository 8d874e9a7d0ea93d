"""From a change of standing to effects: a pure function of the change, the reactions and what is open already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from troth.trust.outbox.model import PORTS, Effect, EffectState, Port
from troth.trust.outbox.reactions import Reactions, Step
from troth.trust.standing import Standing


@dataclass(frozen=True, slots=True)
class StandingChange:
    """A change as the planner sees it. ``feeds``: those with an open cause afterwards (or, if none is, before)."""

    kind: str
    groups: Collection[str]
    feeds: Collection[str]
    protected: bool
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """One effect to be written. ``undo``: the port that shall take it back."""

    port: Port
    target: str
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a change comes to.

    Attributes:
        effects: new ones, in order.
        superseded: waiting ones that have become pointless.
    """

    effects: tuple[PlannedEffect, ...] = ()
    superseded: tuple[UUID, ...] = ()


def plan(change: StandingChange, reactions: Reactions, open_effects: Sequence[Effect]) -> Planned:
    """What ``change`` sets going, and what of the subject's ``open_effects`` it ends.

    * Every rule that covers the new standing gives its effects, each (port, target) once.
    * What only tells is told in order, and always. What acts and waits unsent gives way to the same effect anew, to
      its opposite, and to any change for the better under which no rule asks for it any more.
    * What we did and a rule marked ``undo`` is taken back when the subject stands better and no rule asks for it.
      What we never sent is not taken back: somebody else may have done the like for reasons of their own.
    * What we did and has not been taken back is not done again.
    * On a protected subject nothing acts; taking back goes on.
    """
    wanted: dict[Step, bool] = {}
    for rule in reactions.rules:
        if rule.covers(change.after, change.kind, change.groups, change.feeds):
            for step in rule.steps:
                wanted[step] = wanted.get(step, False) or rule.undo
    kept = {step for step in wanted if step.port.acting and not change.protected}
    acting = [(Step(PORTS[one.port], one.target), one) for one in open_effects if one.acting and one.port in PORTS]
    better = change.after < change.before
    superseded = {one.id: None for step, one in acting if _pointless(step, one, kept, better=better)}
    holding: set[Step] = set()
    back: dict[Step, None] = {}
    for step, one in acting:
        if not one.undo:
            continue
        opposite = Step(PORTS[one.undo], one.target)
        reverting = [other for its, other in acting if its == opposite and other.state is EffectState.WAITING]
        if step in kept:
            # Contained, or about to be: it holds under the new standing too, unless its lifting may have gone out. Of
            # one that was given up nobody knows whether the target did it.
            if one.state is not EffectState.DEAD and not any(map(_sent, reverting)):
                holding.add(step)
                superseded.pop(one.id, None)
        elif better and _sent(one) and all(other.id in superseded for other in reverting):
            back[opposite] = None
    effects = [PlannedEffect(step.port, step.target) for step in back if step not in wanted]
    for step, undo in wanted.items():
        if not step.port.acting or (step in kept and step not in holding):
            effects.append(PlannedEffect(step.port, step.target, step.port.undo if undo else ""))
    return Planned(tuple(effects), tuple(superseded))


def _sent(effect: Effect) -> bool:
    """Whether the target may have seen it."""
    return effect.attempts > 0 or effect.state is EffectState.DONE


def _pointless(step: Step, effect: Effect, kept: Collection[Step], *, better: bool) -> bool:
    """Whether a waiting effect need not be sent any more.

    One on its way stays in its place, so that what follows at this target waits for it. What was planned for the better
    (a containment lifted) is not made pointless by its getting better still.
    """
    if effect.state is not EffectState.WAITING or effect.lease_until is not None:
        return False
    again = step in kept or any(one.target == step.target and one.port.undo == step.port.name for one in kept)
    return again or (better and not effect.notice.relieved)
