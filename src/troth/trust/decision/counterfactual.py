"""What would have to be different: computed, by judging again with other values until the outcome is better.

From the conditions that were not met come candidates: values at which one comparison in them would turn out otherwise
(``risk.score < 50`` gives 49; a stale value gives the same value, fresh). Sets of them, the smallest first, are laid
over the snapshot, and the judge decides; what it says is what is told. What only looks like a way out is never told.

Not tried: what cannot change (who the subject is, what was asked for) and regular expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations, product
from typing import Any

from msgspec import structs

from troth.trust.cel.check import freshness_bound
from troth.trust.cel.nodes import Binary, Call, Comprehension, Literal, Name, Node, Select, Ternary, Unary
from troth.trust.cel.syntax import read
from troth.trust.decision.judge import judge
from troth.trust.literals import parse_duration, parse_time
from troth.trust.model import Decision, Outcome, Seen, Snapshot, SubjectRef
from troth.trust.policy.compiled import Policy
from troth.trust.standing import Standing
from troth.trust.vocabulary import Type

#: Judgings that one explanation may cost: some twenty milliseconds.
MAX_TRIES = 400
#: Values that change together, at most.
MAX_TOGETHER = 3
MAX_FOUND = 3

_FIXED = frozenset({"subject.kind", "subject.name", "subject.origin", "subject.groups", "request.profile", "time.now"})
STANDING = "subject.standing"
OWNER = "owner.standing"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that would be another.

    Attributes:
        path: an attribute, or ``subject.standing`` or ``owner.standing``.
        value: as JSON; for a comparison with order the nearest value that will do.
        bound: how the value may be said: ``at most``, ``at least``, ``not``; empty for exactly.
        fresh: the value must be observed anew; its bound in seconds, 0 for any.
    """

    path: str
    value: Any
    bound: str = ""
    fresh: int | None = None


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """If all ``changes`` were so, this would be the decision. ``seen``: what there was of them."""

    changes: tuple[Change, ...]
    decision: Decision
    seen: tuple[Seen, ...] = ()


def counterfactuals(policy: Policy, snapshot: Snapshot) -> tuple[Counterfactual, ...]:
    """The smallest sets of changes that make the outcome better, the best outcome first. Empty for ``allow``."""
    was = judge(policy, snapshot)
    if was.outcome is Outcome.ALLOW:
        return ()
    choices = list(_choices(policy, snapshot, was))
    found: list[Counterfactual] = []
    tries = 0
    for size in range(1, MAX_TOGETHER + 1):
        for group in combinations(choices, size):
            for changes in product(*group):
                within = [one.decision.outcome for one in found if set(one.changes) <= set(changes)]
                least = min([was.outcome, *within])
                if least is Outcome.ALLOW:
                    continue
                if tries >= MAX_TRIES:
                    return _best(found)
                tries += 1
                decision = judge(policy, laid(snapshot, changes))
                if decision.outcome < least:
                    paths = {change.path for change in changes}
                    seen = tuple(one for one in snapshot.values if one.path in paths)
                    found.append(Counterfactual(changes, decision, seen))
        if any(one.decision.outcome is Outcome.ALLOW for one in found):
            break
    return _best(found)


def _best(found: list[Counterfactual]) -> tuple[Counterfactual, ...]:
    ordered = sorted(found, key=lambda one: (_RANK[one.decision.outcome], len(one.changes)))
    kept: list[Counterfactual] = []
    for one in ordered:
        # What takes as much and gives less is no advice.
        if all(
            other.decision.outcome is one.decision.outcome or len(one.changes) < len(other.changes) for other in kept
        ):
            kept.append(one)
    return tuple(kept[:MAX_FOUND])


_RANK = {outcome: place for place, outcome in enumerate(Outcome)}


def laid(snapshot: Snapshot, changes: tuple[Change, ...]) -> Snapshot:
    """``snapshot`` as it would be with ``changes``."""
    values = {one.path: one for one in snapshot.values}
    subject, keeper = snapshot.subject, snapshot.keeper
    for change in changes:
        if change.path == OWNER:
            keeper = structs.replace(keeper, standing=Standing.TRUSTED) if keeper is not None else None
            continue
        if change.path == STANDING:
            subject = structs.replace(subject, standing=Standing.TRUSTED)
        known = values.get(change.path)
        source = known.source if known is not None else "somebody"
        values[change.path] = Seen(change.path, change.value, source, snapshot.at)
    return structs.replace(
        snapshot, subject=subject, keeper=keeper, values=tuple(values[path] for path in sorted(values))
    )


def _choices(policy: Policy, snapshot: Snapshot, was: Decision) -> Iterator[tuple[Change, ...]]:
    """For each thing that could change: the values that it could have."""
    for path, who in ((STANDING, snapshot.subject), (OWNER, snapshot.keeper)):
        if who is not None and _stands_in_the_way(who, was):
            yield (Change(path, Standing.TRUSTED.value),)
    met = {one.name for one in was.conditions if one.result.value == "true" and one.name != "match"}
    by_path: dict[str, dict[Change, None]] = {}
    for rule in policy.rules_at(snapshot.moment):
        decides = rule.name == was.rule
        for condition in rule.conditions:
            if condition.name in met and decides:
                continue
            for change in _Candidates(policy, snapshot).of(read(condition.source)):
                by_path.setdefault(change.path, {})[change] = None
    yield from (tuple(changes) for path, changes in by_path.items() if path not in _FIXED)


def _stands_in_the_way(who: SubjectRef, was: Decision) -> bool:
    return was.standing_floor is not Outcome.ALLOW and who.standing is not Standing.TRUSTED


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Values at which a comparison turns out otherwise than it does."""

    policy: Policy
    snapshot: Snapshot

    def of(self, node: Node) -> Iterator[Change]:
        match node:
            case Select():
                path = _path(node)
                if path is not None and self.policy.types.get(path) is Type.BOOL:
                    seen = self._seen(path)
                    yield from (Change(path, value) for value in (True, False) if seen is None or seen.value != value)
            case Unary(operand=operand):
                yield from self.of(operand)
            case Binary(operator="&&" | "||", left=left, right=right):
                yield from self.of(left)
                yield from self.of(right)
            case Binary():
                yield from self._comparison(node)
            case Ternary(condition=condition, then=then, other=other):
                for inner in (condition, then, other):
                    yield from self.of(inner)
            case Comprehension(range=over):
                path = _path(over)
                if path is not None:
                    yield Change(path, ())
            case Call():
                yield from self._call(node)
            case _:
                return

    def _seen(self, path: str) -> Seen | None:
        return next((one for one in self.snapshot.values if one.path == path), None)

    def _comparison(self, node: Binary) -> Iterator[Change]:
        bound = freshness_bound(node)
        if bound is not None:
            path, limit = _path(bound[0].args[0]), _plain(bound[1])
            seen = self._seen(path) if path is not None else None
            if path is not None and seen is not None and isinstance(limit, int):
                value = self.snapshot.at.isoformat() if self.policy.types.get(path) is Type.TIME else seen.value
                yield Change(path, value, fresh=limit)
            return
        sides = ((node.left, node.operator, node.right), (node.right, _MIRRORED.get(node.operator, ""), node.left))
        for side, operator, other in sides:
            path = _path(side)
            if path is not None and operator:
                yield from self._against(path, operator, other)
        if node.operator == "in":
            listed, item = _path(node.right), _plain(node.left)
            if listed is not None and item is not None:
                seen = self._seen(listed)
                present = list(seen.value) if seen is not None and isinstance(seen.value, (list, tuple)) else []
                yield Change(listed, tuple(one for one in present if one != item), bound="without")
                yield Change(listed, (*present, item) if item not in present else tuple(present), bound="with")
        size = node.left if isinstance(node.left, Call) and node.left.function == "size" else None
        if size is not None:
            path = _path(size.target if size.target is not None else size.args[0])
            if path is not None and self.policy.types.get(path) in (Type.STRINGS, Type.INTS):
                yield Change(path, ())

    def _against(self, path: str, operator: str, other: Node) -> Iterator[Change]:
        """``path operator other``: where ``other`` is known, the nearest values on both sides of it."""
        if operator == "in" and (items := _items(other)):
            yield from (Change(path, item) for item in items[:8])
            return
        value = _plain(other)
        theirs = _path(other)
        if value is None and theirs is not None:
            seen = self._seen(theirs)
            value = seen.value if seen is not None else None
        if value is None:
            return
        if operator in ("==", "!="):
            yield Change(path, value)
            if isinstance(value, str):
                yield Change(path, f"not {value}", bound="not")
        elif isinstance(value, int):
            strict = operator in ("<", ">")
            below = operator in ("<", "<=")
            inside = value - strict if below else value + strict
            outside = value + (not strict) if below else value - (not strict)
            yield Change(path, inside, bound="at most" if below else "at least")
            yield Change(path, outside, bound="at least" if below else "at most")

    def _call(self, node: Call) -> Iterator[Change]:
        args = node.args if node.target is None else (node.target, *node.args)
        path = _path(args[0]) if args else None
        if path is None:
            return
        if node.function == "version_at_least" and isinstance(wanted := _plain(args[1]), str):
            yield Change(path, wanted, bound="at least")
        elif node.function in ("startsWith", "endsWith", "contains") and isinstance(text := _plain(args[1]), str):
            yield Change(path, text, bound=_TEXTS[node.function])
        elif node.function == "has" and self.policy.types.get(path) is Type.BOOL:
            yield from (Change(path, value) for value in (True, False))


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_TEXTS = {"startsWith": "beginning with", "endsWith": "ending with", "contains": "containing"}


def _path(node: Node | None) -> str | None:
    names: list[str] = []
    while isinstance(node, Select):
        names.append(node.name)
        node = node.operand
    if isinstance(node, Call) and node.function == "lower":
        return _path(node.target if node.target is not None else node.args[0])
    return ".".join([node.name, *reversed(names)]) if isinstance(node, Name) and names else None


def _plain(node: Node) -> Any:
    """A literal as JSON has it: a duration in seconds, a time as ISO 8601; None for anything else."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Call) and node.function in ("duration", "timestamp") and isinstance(node.args[0], Literal):
        text = str(node.args[0].value)
        length, moment = parse_duration(text), parse_time(text)
        if node.function == "duration":
            return int((length or timedelta(0)).total_seconds())
        return moment.isoformat() if moment is not None else None
    return None


def _items(node: Node) -> list[Any]:
    items = getattr(node, "items", ())
    return [value for item in items if (value := _plain(item)) is not None]
