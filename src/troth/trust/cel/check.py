"""Types and references of an expression: what it reads, and whether it can mean anything.

CEL is lax at run time (``true == "yes"`` is silently false). Here each operator knows its types, each attribute is
one of the vocabulary, and ``age(x) < …`` is marked for what it is: a bound on freshness, beyond which the answer is
not *no* but *unknown*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from troth.trust.literals import parse_duration, parse_time
from troth.trust.versions import version_of
from troth.trust.vocabulary import Attribute, Type, nearest

_LISTS = {Type.STRING: Type.STRINGS, Type.INT: Type.INTS}
_ORDERED = frozenset({Type.INT, Type.STRING, Type.TIME, Type.DURATION})

_NO_PATH = "only attributes such as user.groups have a part after '.'"

FUNCTIONS = frozenset({"age", "lower", "size", "has", "duration", "timestamp", "version_at_least"})
_PAIRS = frozenset({"startsWith", "endsWith", "contains", "matches", "version_at_least"})
METHODS = frozenset({"startsWith", "endsWith", "contains", "matches", "size", "lower"})


@dataclass(slots=True)
class Checked:
    """What an expression turned out to be.

    Attributes:
        paths: the attributes it reads, sorted.
        limits: attribute → its tightest literal freshness bound in seconds.
        aged: attributes whose age is asked, and is that of the observation.
        sought: attributes of which it is asked whether they are there.
    """

    node: Node
    type: Type
    paths: tuple[str, ...]
    limits: tuple[tuple[str, int], ...]
    functions: frozenset[str]
    aged: frozenset[str]
    sought: frozenset[str]


@dataclass(slots=True)
class _Checker:
    vocabulary: Mapping[str, Attribute]
    allow_has: bool
    paths: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    aged: set[str] = field(default_factory=set)
    sought: set[str] = field(default_factory=set)
    bound: dict[str, Type] = field(default_factory=dict)

    def type_of(self, node: Node) -> Type:
        match node:
            case Literal(value=value):
                return Type.BOOL if isinstance(value, bool) else Type.INT if isinstance(value, int) else Type.STRING
            case Name():
                return self._name(node)
            case Select():
                return self._attribute(self.path_of(node), node.at)
            case Listing():
                return self._listing(node)
            case Index(operand=operand, index=index):
                element = self.type_of(operand).element
                if element is None:
                    raise ExpressionError("only a list has entries by number", node.at)
                self._need(index, Type.INT, "the number of an entry")
                return element
            case Unary(operator="!", operand=operand):
                return self._need(operand, Type.BOOL, "'!'")
            case Unary(operand=operand):
                return self._need(operand, Type.INT, "'-'")
            case Binary():
                return self._binary(node)
            case Ternary(condition=condition, then=then, other=other):
                self._need(condition, Type.BOOL, "'?'")
                return self._need(other, self.type_of(then), "both sides of ':'")
            case Comprehension():
                return self._comprehension(node)
            case Call():
                return self._call(node)

    def path_of(self, node: Node) -> str:
        """The attribute path that a select chain spells. Raises ExpressionError for anything else."""
        path = path_of(node)
        root, dot, _ = path.partition(".")
        if not dot or root in self.bound:
            raise ExpressionError(_NO_PATH, _at(node))
        return path

    def _name(self, node: Name) -> Type:
        if node.name in self.bound:
            return self.bound[node.name]
        roots = {path.partition(".")[0] for path in self.vocabulary}
        if node.name in roots:
            raise ExpressionError(f"name an attribute of {node.name}, such as {self._example(node.name)}", node.at)
        near = nearest(node.name, roots)
        raise ExpressionError(f"{node.name!r} is not known{f'; did you mean {near!r}?' if near else ''}", node.at)

    def _example(self, root: str) -> str:
        return next(path for path in self.vocabulary if path.startswith(f"{root}."))

    def _attribute(self, path: str, at: int) -> Type:
        known = self.vocabulary.get(path)
        if known is None:
            near = nearest(path, set(self.vocabulary))
            raise ExpressionError(f"{path!r} is not known{f'; did you mean {near!r}?' if near else ''}", at)
        self.paths.add(path)
        return known.type

    def _need(self, node: Node, wanted: Type, what: str) -> Type:
        found = self.type_of(node)
        if found is not wanted:
            raise ExpressionError(f"{what} takes {wanted.called}, not {found.called}", _at(node))
        return found

    def _listing(self, node: Listing) -> Type:
        if not node.items:
            raise ExpressionError("an empty list contains nothing", node.at)
        first = self.type_of(node.items[0])
        if first not in _LISTS:
            raise ExpressionError(f"lists hold strings or ints, not {first.called}", node.at)
        for item in node.items[1:]:
            self._need(item, first, "this list")
        return _LISTS[first]

    def _binary(self, node: Binary) -> Type:
        sign = node.operator
        if sign in ("&&", "||"):
            self._need(node.left, Type.BOOL, f"'{sign}'")
            return self._need(node.right, Type.BOOL, f"'{sign}'")
        left, right = self.type_of(node.left), self.type_of(node.right)
        if sign == "in":
            if right.element is not left:
                raise ExpressionError(f"{left.called} is never in {right.called}", node.at)
            return Type.BOOL
        if sign in ("+", "-", "*", "/", "%"):
            return self._arithmetic(sign, left, right, node.at)
        if left is not right:
            raise ExpressionError(f"'{sign}' compares {left.called} with {right.called}", node.at)
        if sign in ("==", "!="):
            return Type.BOOL
        if left not in _ORDERED:
            raise ExpressionError(f"{left.called} has no order", node.at)
        self._mark_limit(node)
        return Type.BOOL

    def _arithmetic(self, sign: str, left: Type, right: Type, at: int) -> Type:
        table = {
            ("+", Type.STRING, Type.STRING): Type.STRING,
            ("+", Type.DURATION, Type.DURATION): Type.DURATION,
            ("-", Type.DURATION, Type.DURATION): Type.DURATION,
            ("+", Type.TIME, Type.DURATION): Type.TIME,
            ("-", Type.TIME, Type.DURATION): Type.TIME,
            ("-", Type.TIME, Type.TIME): Type.DURATION,
        }
        made = Type.INT if left is right is Type.INT else table.get((sign, left, right))
        if made is None:
            raise ExpressionError(f"'{sign}' cannot take {left.called} and {right.called}", at)
        return made

    def _mark_limit(self, node: Binary) -> None:
        found = freshness_bound(node)
        if found is None:
            return
        age, bound = found
        text = bound.args[0] if isinstance(bound, Call) and bound.function == "duration" else None
        if isinstance(text, Literal) and isinstance(text.value, str):
            length = parse_duration(text.value)
            seconds = int(length.total_seconds()) if length is not None else 0
            path = self.path_of(age.args[0])
            self.limits[path] = min(seconds, self.limits.get(path, seconds))
        else:
            raise ExpressionError('a freshness bound is a literal: age(x) < duration("1h")', node.at)

    def _comprehension(self, node: Comprehension) -> Type:
        if self.bound:
            raise ExpressionError("a loop inside a loop is refused: its cost has no bound", node.at)
        element = self.type_of(node.range).element
        if element is None:
            raise ExpressionError(f"'{node.macro}' runs over a list", node.at)
        if node.variable in {path.partition(".")[0] for path in self.vocabulary}:
            raise ExpressionError(f"{node.variable!r} already means something; take another variable", node.at)
        self.bound[node.variable] = element
        self._need(node.body, Type.BOOL, f"'{node.macro}'")
        del self.bound[node.variable]
        return Type.BOOL

    def _call(self, node: Call) -> Type:
        known = FUNCTIONS if node.target is None else METHODS
        if node.function not in known:
            near = nearest(node.function, known)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(sorted(known))}"
            raise ExpressionError(f"there is no function {node.function!r}{hint}", node.at)
        self.functions.add(node.function)
        args = node.args if node.target is None else (node.target, *node.args)
        arity = 2 if node.function in _PAIRS else 1
        if len(args) != arity:
            raise ExpressionError(f"{node.function} takes {arity - (node.target is not None)} argument(s)", node.at)
        match node.function:
            case "age":
                if self.type_of(args[0]) is not Type.TIME:
                    self.aged.add(self.path_of(args[0]))
                self.path_of(args[0])
                return Type.DURATION
            case "has":
                if not self.allow_has:
                    raise ExpressionError("absence is what 'unknown' is for; has() may stand in 'match' only", node.at)
                self._attribute(self.path_of(args[0]), node.at)
                self.sought.add(self.path_of(args[0]))
                return Type.BOOL
            case "size":
                found = self.type_of(args[0])
                if found is not Type.STRING and found.element is None:
                    raise ExpressionError(f"{found.called} has no size", node.at)
                return Type.INT
            case "duration" | "timestamp":
                return self._constant(node)
            case "lower":
                return self._need(args[0], Type.STRING, "lower")
            case "version_at_least":
                self._version(args)
                return Type.BOOL
        self._need(args[0], Type.STRING, node.function)
        self._need(args[1], Type.STRING, node.function)
        if node.function == "matches" and not isinstance(args[1], Literal):
            raise ExpressionError("the pattern of matches() is a literal", node.at)
        return Type.BOOL

    def _version(self, args: tuple[Node, ...]) -> None:
        for arg in args:
            self._need(arg, Type.STRING, "version_at_least")
        for arg in args:
            if isinstance(arg, Literal) and version_of(str(arg.value)) is None:
                raise ExpressionError(f"{arg.value!r} is no version: numbers with dots between, such as 14.2.1", arg.at)

    def _constant(self, node: Call) -> Type:
        text = node.args[0]
        if isinstance(text, Literal) and isinstance(text.value, str):
            if node.function == "duration" and parse_duration(text.value) is not None:
                return Type.DURATION
            if node.function == "timestamp" and parse_time(text.value) is not None:
                return Type.TIME
        example = '"1h30m"' if node.function == "duration" else '"2026-11-23T10:00:00Z"'
        raise ExpressionError(f"{node.function} takes a literal such as {example}", node.at)


def freshness_bound(node: Binary) -> tuple[Call, Node] | None:
    """For ``age(x) < d`` and its mirror ``d > age(x)``: the age call and the bound; else None."""
    if node.operator in ("<", "<="):
        age, bound = node.left, node.right
    elif node.operator in (">", ">="):
        age, bound = node.right, node.left
    else:
        return None
    if isinstance(age, Call) and age.function == "age" and age.target is None:
        return age, bound
    return None


def path_of(node: Node) -> str:
    """The names of a select chain, with dots between. Raises ExpressionError for what is none."""
    match node:
        case Name(name=name):
            return name
        case Select(operand=operand, name=name):
            return f"{path_of(operand)}.{name}"
    raise ExpressionError(_NO_PATH, _at(node))


def _at(node: Node) -> int:
    return node.at


def check(
    node: Node, vocabulary: Mapping[str, Attribute], *, allow_has: bool = False, wanted: Type = Type.BOOL
) -> Checked:
    """Check ``node`` against ``vocabulary``. Raises ExpressionError at the place that is wrong."""
    checker = _Checker(vocabulary, allow_has)
    found = checker.type_of(node)
    if found is not wanted:
        raise ExpressionError(f"the whole must be {wanted.called}, and is {found.called}", _at(node))
    return Checked(
        node,
        found,
        tuple(sorted(checker.paths)),
        tuple(sorted(checker.limits.items())),
        frozenset(checker.functions),
        frozenset(checker.aged),
        frozenset(checker.sought),
    )
