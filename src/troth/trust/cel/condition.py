"""A condition: CEL source, checked once, compiled once, answered in three values.

The expression handed to the library is rendered from the checked tree, so that what was checked is what runs. Three
things change on the way: durations become seconds (CEL itself has no days), a freshness bound becomes an error when it
is exceeded (``(… < bound) || [true][1]``: CEL lets the other side of ``&&`` and ``||`` absorb an error, which is
exactly Kleene's logic of the unknown), and each attribute becomes a variable of its own. The library turns every map
that it is given into one of its own first, 2 µs each: as ``user.enabled`` of a map ``user`` a context cost four times
what it costs as ``_value_user_enabled``. A variable that is not there fails as a missing key does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from troth.trust.cel.check import Checked, check, freshness_bound, path_of
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

NOW = "time.now"

#: What a failing CEL evaluation raises (seen with common-expression-language 0.10: missing key, index, overflow …).
_FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
_UNKNOWN = "[true][1]"

# Looked up once: an enumeration's member takes 70 ns to reach by its name, and each decision asks for dozens.
_YES, _NO, _NOBODY_KNOWS = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


def value_variable(path: str) -> str:
    """The variable that holds the value at ``path``. Roots have no underscore, so no two paths share one; a name that
    a policy chooses (of what a loop runs over) becomes ``_each_…`` and is none of these."""
    return f"_value_{path.replace('.', '_', 1)}"


def seen_variable(path: str) -> str:
    """The variable that holds when the value at ``path`` was observed."""
    return f"_seen_{path.replace('.', '_', 1)}"


def has_variable(path: str) -> str:
    """The variable that says whether there is a value at ``path``."""
    return f"_has_{path.replace('.', '_', 1)}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One named expression of a rule.

    Attributes:
        source: as the policy has it.
        paths: the attributes it reads.
        limits: attribute → freshness bound in seconds.
        aged: attributes whose time of observation it looks at.
        sought: attributes of which it asks whether they are there at all.
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
    sought: frozenset[str]
    cost: int

    def ask(self, context: cel.Context) -> Truth:
        """The answer under ``context``; any failure is unknown."""
        try:
            answer = self.program.execute(context)
        except _FAILURES:
            return _NOBODY_KNOWS
        if answer is True:
            return _YES
        return _NO if answer is False else _NOBODY_KNOWS


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
        name, source, checked.paths, checked.limits, checked.functions, fix, rendered, program, checked.aged,
        checked.sought, cost,
    )  # fmt: skip


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
                return f"_each_{name}"
            case Select():
                return value_variable(path_of(node))
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
                return f"{self.render(over)}.{macro}(_each_{variable}, {self.render(body)})"
            case Call():
                return self._call(node)

    def _call(self, node: Call) -> str:
        if node.function == "age":
            path = path_of(node.args[0])
            # The age of a time is the time since it; of anything else, the time since somebody observed it.
            is_time = self.vocabulary[path].type is Type.TIME
            return f"({value_variable(NOW)} - {value_variable(path) if is_time else seen_variable(path)})"
        if node.function == "has":
            return has_variable(path_of(node.args[0]))
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


def context_of(variables: dict[str, Any], functions: frozenset[str]) -> cel.Context:
    """An evaluation context over variables, with the custom functions that are in use."""
    own = {name: _OWN[name] for name in functions & _OWN.keys()}
    return cel.Context(variables=variables, functions=own) if own else cel.Context(variables=variables)


#: Functions that CEL does not have.
_OWN: Mapping[str, Callable[..., object]] = {"lower": lower, "version_at_least": version_at_least}
