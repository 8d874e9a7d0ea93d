"""The part of CEL that policies may use, read into a tree.

CEL (github.com/google/cel-spec, langdef.md) is evaluated by a compiled library; it says nothing of which attributes an
expression reads or of what type they are. This reader does, so that a policy can be checked when it is applied. Left
out on purpose: maps and messages, fractions, bytes, triple quotes, ``map`` and ``filter``, comprehensions in each
other (there is no cost limit: 300 × 300 took four seconds).
"""

from __future__ import annotations

import re
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
)

MAX_LENGTH = 2000
MAX_DEPTH = 24
MAX_LITERALS = 256

MACROS = frozenset({"all", "exists", "exists_one"})
_RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
        "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip


_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+|//[^\n]*)
    | (?P<number>[0-9]+(?:\.[0-9]+|[eExX][0-9a-fA-F]*|[uU])?)
    | (?P<string>[rR]?"(?:[^"\\\n]|\\[^\n])*"|[rR]?'(?:[^'\\\n]|\\[^\n])*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>()\[\].,?:])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise ExpressionError(f"{source[at]!r} has no meaning here", at)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(_Token(kind, match[0], at))
        at = match.end()
    found.append(_Token("end", "", len(source)))
    return found


def _text(token: _Token) -> str:
    raw = token.text[0] in "rR"
    body = token.text[2:-1] if raw else token.text[1:-1]
    if raw:
        return body

    def unescape(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5 and not 0xD800 <= int(code[1:], 16) < 0xE000:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise ExpressionError(f"\\{code} is not an escape this reader takes", token.at)
        return _ESCAPES[code]

    return _ESCAPE.sub(unescape, body)


class _Reader:
    def __init__(self, source: str) -> None:
        self._tokens = _tokens(source)
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._tokens[self._place]
        self._place += 1
        return token

    def _accept(self, *signs: str) -> _Token | None:
        token = self._next
        if (token.kind == "sign" and token.text in signs) or (token.text == "in" and "in" in signs):
            return self._take()
        return None

    def _expect(self, sign: str) -> None:
        if self._accept(sign) is None:
            found = self._next
            raise ExpressionError(f"{sign!r} was expected, not {found.text or 'the end'!r}", found.at)

    def whole(self) -> Node:
        node = self.expression()
        if self._next.kind != "end":
            raise ExpressionError(f"{self._next.text!r} is one thing too many", self._next.at)
        return node

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self._next.at)
        node = self._or()
        if (sign := self._accept("?")) is not None:
            then = self._or()
            self._expect(":")
            node = Ternary(node, then, self.expression(), sign.at)
        self._depth -= 1
        return node

    def _or(self) -> Node:
        node = self._and()
        while (sign := self._accept("||")) is not None:
            node = Binary("||", node, self._and(), sign.at)
        return node

    def _and(self) -> Node:
        node = self._relation()
        while (sign := self._accept("&&")) is not None:
            node = Binary("&&", node, self._relation(), sign.at)
        return node

    def _relation(self) -> Node:
        node = self._sum()
        if (sign := self._accept("==", "!=", "<", "<=", ">", ">=", "in")) is not None:
            node = Binary(sign.text, node, self._sum(), sign.at)
            if (again := self._accept("==", "!=", "<", "<=", ">", ">=", "in")) is not None:
                raise ExpressionError("a comparison of a comparison means something else than it seems", again.at)
        return node

    def _sum(self) -> Node:
        node = self._product()
        while (sign := self._accept("+", "-")) is not None:
            node = Binary(sign.text, node, self._product(), sign.at)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while (sign := self._accept("*", "/", "%")) is not None:
            node = Binary(sign.text, node, self._unary(), sign.at)
        return node

    def _unary(self) -> Node:
        if (sign := self._accept("!", "-")) is None:
            return self._member()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", sign.at)
        node = Unary(sign.text, self._unary(), sign.at)
        self._depth -= 1
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._accept(".") is not None:
                node = self._selected(node)
            elif (sign := self._accept("[")) is not None:
                node = Index(node, self.expression(), sign.at)
                self._expect("]")
            else:
                return node

    def _selected(self, node: Node) -> Node:
        token = self._take()
        if token.kind != "name":
            raise ExpressionError(f"a name was expected after '.', not {token.text or 'the end'!r}", token.at)
        if self._accept("(") is None:
            return Select(node, token.text, token.at)
        args = self._items(")")
        if token.text not in MACROS:
            return Call(token.text, node, args, token.at)
        if len(args) != 2 or not isinstance(args[0], Name):
            raise ExpressionError(f"{token.text} takes a variable and a condition: names.{token.text}(n, …)", token.at)
        return Comprehension(token.text, node, args[0].name, args[1], token.at)

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._accept(end) is not None:
            return ()
        while True:
            items.append(self.expression())
            if self._accept(",") is None:
                self._expect(end)
                break
        if len(items) > MAX_LITERALS:
            raise ExpressionError(f"more than {MAX_LITERALS} entries", self._next.at)
        return tuple(items)

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "number":
            if not token.text.isdecimal() or int(token.text) >= 1 << 63:
                raise ExpressionError("numbers are whole, decimal, below 2^63; scale a fraction to its unit", token.at)
            return Literal(int(token.text), token.at)
        if token.kind == "string":
            return Literal(_text(token), token.at)
        if token.kind == "name":
            if token.text in ("true", "false"):
                return Literal(token.text == "true", token.at)
            if token.text in ("null", "in") or token.text in _RESERVED:
                raise ExpressionError(f"{token.text!r} cannot stand here", token.at)
            if self._accept("(") is not None:
                return Call(token.text, None, self._items(")"), token.at)
            return Name(token.text, token.at)
        if token.text == "(":
            node = self.expression()
            self._expect(")")
            return node
        if token.text == "[":
            return Listing(self._items("]"), token.at)
        raise ExpressionError(f"{token.text or 'the end'!r} cannot stand here", token.at)


def read(source: str) -> Node:
    """The tree of ``source``. Raises ExpressionError."""
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
    return _Reader(source).whole()
