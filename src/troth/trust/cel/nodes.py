"""The tree of an expression, and the error that points into it. ``at`` is the character (from 0) it stands at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class ExpressionError(ValueError):
    """What is wrong with an expression, and at which character (from 0)."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} (at character {at + 1})")
        self.at = at


@dataclass(frozen=True, slots=True)
class Literal:
    """true, 5, "text"."""

    value: bool | int | str
    at: int


@dataclass(frozen=True, slots=True)
class Listing:
    """[a, b]."""

    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A bare identifier: a root, or a comprehension's variable."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Select:
    """operand.name."""

    operand: Node
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Index:
    """operand[index]."""

    operand: Node
    index: Node
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """function(args) or target.function(args)."""

    function: str
    target: Node | None
    args: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Comprehension:
    """range.all(variable, body) and its kin."""

    macro: str
    range: Node
    variable: str
    body: Node
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """!a, -a."""

    operator: str
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """a && b, a < b, a in b."""

    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Ternary:
    """a ? b : c."""

    condition: Node
    then: Node
    other: Node
    at: int


Node: TypeAlias = "Literal | Listing | Name | Select | Index | Call | Comprehension | Unary | Binary | Ternary"
