"""How long an expression may take at worst, computed when it is compiled: CEL itself has no limit.

The unit is a step of about 50 ns (common-expression-language 0.10, on one core of 2024): what it takes to look at one
entry of a list. Lists are taken at their greatest length, texts at theirs, and a regular expression at the size that
its counted repetitions unfold to, since the library compiles it anew at each use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from troth.trust.cel.nodes import (
    Binary,
    Call,
    Comprehension,
    ExpressionError,
    Index,
    Listing,
    Literal,
    Name,
    Node,
    Select,
    Ternary,
    Unary,
)  # fmt: skip
from troth.trust.vocabulary import MAX_LIST, Attribute

#: Steps of one condition: a tenth of a second at worst.
MAX_COST = 2_000_000
#: Steps of all conditions that one decision may ask.
MAX_POLICY_COST = 10_000_000

_CALLS = {"startsWith": 2, "endsWith": 2, "contains": 20, "lower": 20, "version_at_least": 40}
_PATTERN = 400
_REPETITION = re.compile(r"\{([0-9]{1,6})?,?([0-9]{1,6})?\}")


@dataclass(slots=True)
class _Meter:
    vocabulary: Mapping[str, Attribute]
    dearest: int = 0
    at: int = 0
    what: str = "it is long"

    def steps(self, node: Node) -> int:
        match node:
            case Literal() | Name():
                return 1
            case Select():
                return self._select(node)
            case Listing(items=items):
                return 1 + sum(map(self.steps, items))
            case Index(operand=operand, index=index):
                return 1 + self.steps(operand) + self.steps(index)
            case Unary(operand=operand):
                return 1 + self.steps(operand)
            case Binary(left=left, right=right):
                return 1 + self.steps(left) + self.steps(right)
            case Ternary(condition=condition, then=then, other=other):
                return 1 + self.steps(condition) + max(self.steps(then), self.steps(other))
            case Comprehension():
                rounds = _length(node.range)
                own = self.steps(node.range) + rounds * (2 + self.steps(node.body))
                return self._noted(own, node.at, f"a loop of up to {rounds} rounds")
            case Call(target=target, args=args):
                inner = sum(map(self.steps, args)) + (self.steps(target) if target is not None else 0)
                if node.function != "matches":
                    return inner + _CALLS.get(node.function, 1)
                pattern = args[0].value if isinstance(args[0], Literal) else ""
                own = inner + _PATTERN + 100 * _unfolded(str(pattern))
                return self._noted(own, node.at, "a regular expression with large repetitions")

    def _select(self, node: Select) -> int:
        names: list[str] = []
        at: Node = node
        while isinstance(at, Select):
            names.append(at.name)
            at = at.operand
        path = ".".join([*([at.name] if isinstance(at, Name) else []), *reversed(names)])
        known = self.vocabulary.get(path)
        # The library copies a list each time it is named.
        return MAX_LIST if known is not None and known.type.element is not None else 1

    def _noted(self, steps: int, at: int, what: str) -> int:
        if steps > self.dearest:
            self.dearest, self.at, self.what = steps, at, what
        return steps


def _length(node: Node) -> int:
    return len(node.items) if isinstance(node, Listing) else MAX_LIST


def _unfolded(pattern: str) -> int:
    """About how many states the library makes of ``pattern``: each counted repetition is written out."""
    size = max(1, len(pattern))
    for found in _REPETITION.finditer(pattern):
        size *= max(1, int(found[1] or 1), int(found[2] or 1))
    return size


def cost_of(node: Node, vocabulary: Mapping[str, Attribute]) -> int:
    """Steps that ``node`` takes at worst. Raises ExpressionError above :data:`MAX_COST`, saying what is dear."""
    meter = _Meter(vocabulary)
    steps = meter.steps(node)
    if steps > MAX_COST:
        raise ExpressionError(
            f"at worst this takes about {steps:,} steps, and a condition may take {MAX_COST:,}: {meter.what}", meter.at
        )
    return steps
