"""A computed way out, in words. See :mod:`troth.trust.decision.counterfactual`."""

from __future__ import annotations

from datetime import timedelta

from troth.trust.decision.counterfactual import OWNER, STANDING, Change, Counterfactual
from troth.trust.model import Decision, Outcome, Seen
from troth.trust.wording import listed, show, span


def told(one: Counterfactual, decision: Decision) -> str:
    """A computed way out: ``If risk.score were at most 49 (it was 60), it would be allowed, for at most 30 days.``"""
    seen = {value.path: value for value in one.seen}
    wishes = listed([_wish(change, seen.get(change.path), decision) for change in one.changes])
    lifetime = one.decision.obligations.lifetime
    limit = f", for at most {span(lifetime)}" if lifetime is not None else ""
    return f"If {wishes}, it would be {_BETTER[one.decision.outcome]}{limit}."


_BETTER = {
    Outcome.ALLOW: "allowed",
    Outcome.RESTRICT: "allowed with restrictions",
    Outcome.QUARANTINE: "limited to quarantine",
    Outcome.DENY: "denied",
}


def _wish(change: Change, seen: Seen | None, decision: Decision) -> str:
    if change.path in (STANDING, OWNER):
        who = decision.subject if change.path == STANDING else decision.keeper
        name = f"{who.kind.value} {who.name}" if who is not None else "it"
        return f"{name} were trusted again (the causes for which it is {who.standing.value if who else ''} cleared)"
    if change.fresh is not None:
        source = seen.source if seen is not None else "its source"
        limit = f", within {span(timedelta(seconds=change.fresh))}" if change.fresh else ""
        return f"{source} reported {change.path} {show(change.value)} again{limit}"
    value = show(change.value)
    if change.bound == "not":
        value = f"anything but {show(str(change.value).removeprefix('not '))}"
    elif change.bound in ("with", "without"):
        present = seen.value if seen is not None and isinstance(seen.value, (list, tuple)) else ()
        moved = set(map(str, present)) ^ set(map(str, change.value))
        value = f"{change.bound} {listed([show(one) for one in sorted(moved)])}" if moved else value
    elif change.bound:
        value = f"{change.bound} {value}"
    was = f"it was {show(seen.value)}" if seen is not None else "nobody has reported it"
    return f"{change.path} were {value} ({was})"
