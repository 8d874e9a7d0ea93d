"""A condition: CEL source, checked once, compiled once, answered in three values.

The expression handed to the library is rendered from the checked tree, so that what was checked is what runs. Two
things change on the way: durations become seconds (CEL itself has no days), and a freshness bound becomes an error when
it is exceeded (``(… < bound) || [true][1]``: CEL lets the other side of ``&&`` and ``||`` absorb an error, which is
exactly Kleene's logic of the unknown).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from troth.trust.cel.check import Checked, check, freshness_bound
from troth.trust.cel.cost import cost_of
from troth.trust.cel.library import cel
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
from troth.trust.cel.syntax import read
from troth.trust.literals import parse_duration, parse_time
from troth.trust.model import Truth
from troth.trust.versions import version_at_least
from troth.trust.vocabulary import Attribute, Type

#: The root under which each value's time of observation stands, by path; no policy can name it.
SEEN = "_seen"
NOW = "time.now"

#: What a failing CEL evaluation raises (seen with common-expression-language 0.10: missing key, index, overflow …).
_FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
_UNKNOWN = "[true][1]"


@dataclass(frozen=True, slots=True)
class Condition:
    """One named expression of a rule.

    Attributes:
        source: as the policy has it.
        paths: the attributes it reads.
        limits: attribute → freshness bound in seconds.
        aged: attributes whose time of observation it looks at.
        cost: steps it takes at worst; see :mod:`troth.trust.cel.cost`.
    """

    name: str
    source: str
    paths: tuple[str, ...]
    limits: tuple[tuple[str, int], ...]
    functions: frozenset[str]
    fix: str | None
    rendered: str
    program: cel.Program
    aged: frozenset[str]
    cost: int

    def ask(self, context: cel.Context) -> Truth:
        """The answer under ``context``; any failure is unknown."""
        try:
            answer = self.program.execute(context)
        except _FAILURES:
            return Truth.UNKNOWN
        if answer is True:
            return Truth.TRUE
        return Truth.FALSE if answer is False else Truth.UNKNOWN


def compile_condition(
    name: str,
    source: str,
    vocabulary: Mapping[str, Attribute],
    *,
    allow_has: bool = False,
    fix: str | None = None,
) -> Condition:
    """Check and compile. Raises ExpressionError."""
    checked = check(read(source), vocabulary, allow_has=allow_has)
    cost = cost_of(checked.node, vocabulary)
    rendered = _Renderer(vocabulary).render(checked.node)
    _check_patterns(checked)
    try:
        program = cel.compile(rendered)
    except ValueError as error:
        raise ExpressionError(f"the CEL library refuses it: {str(error).splitlines()[0]}", 0) from error
    return Condition(
        name, source, checked.paths, checked.limits, checked.functions, fix, rendered, program, checked.aged, cost
    )


def _check_patterns(checked: Checked) -> None:
    """Run each regular expression once, so that a bad one is refused now and not unknown for ever."""
    stack: list[Node] = [checked.node]
    while stack:
        node = stack.pop()
        match node:
            case Call(function="matches", args=(Literal(value=str() as pattern),)):
                try:
                    cel.compile(f'"".matches({_quoted(pattern)})').execute()
                except _FAILURES as error:
                    raise ExpressionError(f"{pattern!r} is not a regular expression", node.at) from error
            case Call(target=target, args=args):
                stack += [*args, *([target] if target is not None else [])]
            case Binary(left=left, right=right):
                stack += [left, right]
            case Unary(operand=operand):
                stack.append(operand)
            case Ternary(condition=condition, then=then, other=other):
                stack += [condition, then, other]
            case Comprehension(range=over, body=body):
                stack += [over, body]
            case _:
                pass


@dataclass(frozen=True, slots=True)
class _Renderer:
    vocabulary: Mapping[str, Attribute]

    def render(self, node: Node) -> str:
        match node:
            case Literal(value=bool() as value):
                return "true" if value else "false"
            case Literal(value=int() as value):
                return str(value)
            case Literal(value=value):
                return _quoted(str(value))
            case Listing(items=items):
                return f"[{', '.join(self.render(item) for item in items)}]"
            case Name(name=name):
                return name
            case Select(operand=operand, name=name):
                return f"{self.render(operand)}.{name}"
            case Index(operand=operand, index=index):
                return f"{self.render(operand)}[{self.render(index)}]"
            case Unary(operator=operator, operand=operand):
                return f"({operator}{self.render(operand)})"
            case Binary():
                plain = f"({self.render(node.left)} {node.operator} {self.render(node.right)})"
                return plain if freshness_bound(node) is None else f"({plain} || {_UNKNOWN})"
            case Ternary(condition=condition, then=then, other=other):
                return f"({self.render(condition)} ? {self.render(then)} : {self.render(other)})"
            case Comprehension(macro=macro, range=over, variable=variable, body=body):
                return f"{self.render(over)}.{macro}({variable}, {self.render(body)})"
            case Call():
                return self._call(node)

    def _call(self, node: Call) -> str:
        if node.function == "age":
            path = self.render(node.args[0])
            # The age of a time is the time since it; of anything else, the time since somebody observed it.
            since = path if self.vocabulary[path].type is Type.TIME else f"{SEEN}[{_quoted(path)}]"
            return f"({NOW} - {since})"
        if node.function == "duration":
            length = parse_duration(_text(node.args[0]))
            assert length is not None  # noqa: S101 -- the checker has refused any other
            return f'duration("{int(length.total_seconds())}s")'
        if node.function == "timestamp":
            moment = parse_time(_text(node.args[0]))
            assert moment is not None  # noqa: S101 -- the checker has refused any other
            return f'timestamp("{moment.astimezone(UTC).isoformat()}")'
        args = ", ".join(self.render(arg) for arg in node.args)
        call = f"{node.function}({args})"
        return call if node.target is None else f"{self.render(node.target)}.{call}"


def _text(node: Node) -> str:
    return str(node.value) if isinstance(node, Literal) else ""


def _quoted(text: str) -> str:
    """``text`` as a CEL string literal."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else f"\\U{ord(char):08x}" for char in text)
    return f'"{plain}"'


def lower(text: str) -> str:
    """The custom function ``lower``: text in lower case, for comparisons that must not see case."""
    return text.lower()


def context_of(roots: dict[str, dict[str, Any]], functions: frozenset[str]) -> cel.Context:
    """An evaluation context over nested values, with the custom functions that are in use."""
    own = {name: _OWN[name] for name in functions & _OWN.keys()}
    return cel.Context(variables=roots, functions=own) if own else cel.Context(variables=roots)


#: Functions that CEL does not have.
_OWN: Mapping[str, Callable[..., object]] = {"lower": lower, "version_at_least": version_at_least}
