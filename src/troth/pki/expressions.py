"""Texts with variables, as profiles hold them: ``${user.name | lower}@corp.example``.

``${`` path, then functions after ``|``, then ``}``; ``$$`` stands for one ``$``. A path is ``root.name`` under one of
:data:`ROOTS`. Functions are the closed set of :data:`FUNCTIONS`; their arguments are texts in quotes or whole numbers.
There are no loops, no conditions and no way to reach anything but the facts that are handed in, so a text costs what
its length says. A variable that nobody has reported is an error that names it, unless ``default`` or ``optional``
follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from troth.kit.canonical import Json
from troth.pki.errors import PROFILE_MALFORMED, PROFILE_REFUSES, VARIABLE_MISSING, ProfileRefused

#: path → value: texts, whole numbers, true, false, lists of texts.
Facts: TypeAlias = Mapping[str, Json]

ROOTS = ("user", "device", "workload", "subject", "evidence", "request")
MAX_TEXT = 512
MAX_RESULT = 2048
MAX_VARIABLES = 16
MAX_CALLS = 8
_MAX_LIST = 100

_PATH = re.compile(r"([a-z][a-z0-9_]{0,31})\.([a-z][a-z0-9_]{0,62})\Z")
_CALL = re.compile(r"([a-z]{1,20})(?:\((.*)\))?\Z", re.DOTALL)
_ARGUMENT = re.compile(r"""\s*(?:"([^"]{0,64})"|'([^']{0,64})'|(\d{1,3}))\s*\Z""")

_Value: TypeAlias = "str | list[str]"


class _Wrong(ValueError):
    """What a function cannot do with its value, as a clause."""


def _text(value: _Value) -> str:
    if isinstance(value, list):
        raise _Wrong('is a list; take one with first or last, or join(", ")')
    return value


def _parts(value: _Value, separator: str) -> tuple[str, str, str]:
    return _text(value).partition(separator)


def _before(value: _Value, separator: str) -> _Value:
    return _parts(value, separator)[0]


def _after(value: _Value, separator: str) -> _Value:
    _, found, rest = _parts(value, separator)
    return rest if found else ""


def _one(value: _Value, place: int) -> _Value:
    if not isinstance(value, list):
        return value
    return value[place] if value else ""


def _slug(value: _Value) -> _Value:
    return re.sub(r"[^a-z0-9]+", "-", _text(value).lower()).strip("-")


#: name → (kinds of its arguments, what it does). ``default`` and ``optional`` act on a missing value.
FUNCTIONS: Mapping[str, tuple[tuple[type, ...], Callable[..., _Value]]] = {
    "lower": ((), lambda value: _text(value).lower()),
    "upper": ((), lambda value: _text(value).upper()),
    "trim": ((), lambda value: _text(value).strip()),
    "before": ((str,), _before),
    "after": ((str,), _after),
    "domain": ((), lambda value: _text(value).rpartition("@")[2]),
    "local": ((), lambda value: _text(value).rpartition("@")[0]),
    "replace": ((str, str), lambda value, old, new: _text(value).replace(old, new)),
    "take": ((int,), lambda value, count: _text(value)[:count]),
    "slug": ((), _slug),
    "hex": ((), lambda value: _text(value).encode().hex()),
    "first": ((), lambda value: _one(value, 0)),
    "last": ((), lambda value: _one(value, -1)),
    "join": ((str,), lambda value, separator: separator.join(value) if isinstance(value, list) else value),
    "default": ((str,), lambda value, _instead: value),
    "optional": ((), lambda value: value),
}


_CUTTING = frozenset({"before", "after", "replace"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One ``${…}``.

    Attributes:
        calls: (function, arguments) in order.
        source: as written, for messages.
    """

    path: str
    calls: tuple[tuple[str, tuple[str | int, ...]], ...]
    source: str

    @property
    def optional(self) -> bool:
        """Whether the whole text is left out when this is missing."""
        return any(name == "optional" for name, _ in self.calls)

    def value(self, facts: Facts) -> str | None:
        """What stands in its place; None when it is optional and missing. Raises ProfileRefused."""
        found = _plain(facts.get(self.path))
        for name, arguments in self.calls:
            if name == "default" and not found:
                found = str(arguments[0])
            elif found:
                try:
                    found = FUNCTIONS[name][1](found, *arguments)
                except _Wrong as error:
                    raise ProfileRefused(
                        PROFILE_REFUSES, f"{self.path} {error} (in {self.source})", variable=self.path
                    ) from None
                if len(found) > MAX_RESULT:
                    raise ProfileRefused(PROFILE_REFUSES, f"{self.source} is too long", variable=self.path)
        if not found:
            if self.optional:
                return None
            raise ProfileRefused(VARIABLE_MISSING, self._missing(facts), variable=self.path)
        try:
            return _text(found)
        except _Wrong as error:
            raise ProfileRefused(PROFILE_REFUSES, f"{self.path} {error}", variable=self.path) from None

    def _missing(self, facts: Facts) -> str:
        if facts.get(self.path) in (None, "", []):
            return f"{self.path} is not known, and {self.source} needs it"
        return f"{self.source} comes out empty"


def _plain(value: Json) -> _Value | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value[: MAX_RESULT + 1]
    if isinstance(value, Sequence):
        return [str(one) for one in value[:_MAX_LIST] if isinstance(one, (str, int)) and not isinstance(one, bool)]
    return None


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled text: literals and variables in turn."""

    source: str
    parts: tuple[str | Variable, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The paths that it reads, in order, each once."""
        return tuple(dict.fromkeys(part.path for part in self.parts if isinstance(part, Variable)))

    @property
    def bare(self) -> bool:
        """Whether it is one variable and nothing else."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Variable)

    @property
    def beginning(self) -> str:
        """The literal that it begins with, possibly empty."""
        first = self.parts[0] if self.parts else ""
        return first if isinstance(first, str) else ""

    def fill(self, facts: Facts, *, encode: Callable[[str], str] = str) -> str | None:
        """The text with its variables in place, each through ``encode``; None when an optional one is missing.

        Raises ProfileRefused (``pki.profile.variable_missing``; ``facts["variable"]`` names it).
        """
        found: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                found.append(part)
                continue
            value = part.value(facts)
            if value is None:
                return None
            found.append(encode(value))
        text = "".join(found)
        if len(text) > MAX_RESULT:
            raise ProfileRefused(PROFILE_REFUSES, f"{self.source[:80]} comes out longer than {MAX_RESULT} characters")
        return text


@lru_cache(maxsize=1024)
def parse_text(source: str) -> Text:
    """``source`` compiled. Raises ProfileRefused (``pki.profile.malformed``) with what is wrong."""
    if not 0 < len(source) <= MAX_TEXT:
        raise _malformed(source, f"a text has 1 to {MAX_TEXT} characters")
    parts: list[str | Variable] = []
    literal, at = "", 0
    while at < len(source):
        if source.startswith("$$", at):
            literal, at = literal + "$", at + 2
        elif source.startswith("${", at):
            end = _end(source, at + 2)
            if literal:
                parts.append(literal)
            literal = ""
            parts.append(_variable(source, source[at + 2 : end]))
            at = end + 1
        elif source[at] == "$":
            raise _malformed(source, "a lone $; write $$ for the character, ${…} for a variable")
        else:
            literal, at = literal + source[at], at + 1
    if literal:
        parts.append(literal)
    if sum(isinstance(part, Variable) for part in parts) > MAX_VARIABLES:
        raise _malformed(source, f"more than {MAX_VARIABLES} variables")
    return Text(source, tuple(parts))


def _malformed(source: str, why: str) -> ProfileRefused:
    return ProfileRefused(PROFILE_MALFORMED, f"{source[:80]!r}: {why}")


def _end(source: str, start: int) -> int:
    """Where the ``}`` stands that closes a variable: not one inside quotes."""
    quote = ""
    for place in range(start, len(source)):
        character = source[place]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "}":
            return place
    raise _malformed(source, "a ${ without its }")


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` outside quotes."""
    found, current, quote = [], "", ""
    for character in text:
        if not quote and character == separator:
            found.append(current)
            current = ""
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        current += character
    return [*found, current]


def _variable(source: str, inner: str) -> Variable:
    path, *calls = (part.strip() for part in _split(inner, "|"))
    match = _PATH.match(path)
    if match is None or match[1] not in ROOTS:
        raise _malformed(source, f"{path[:60]!r} is no variable; they are named root.name, roots {', '.join(ROOTS)}")
    if len(calls) > MAX_CALLS:
        raise _malformed(source, f"more than {MAX_CALLS} functions after one variable")
    return Variable(path, tuple(_call(source, call) for call in calls), f"${{{inner.strip()}}}")


def _call(source: str, text: str) -> tuple[str, tuple[str | int, ...]]:
    match = _CALL.match(text)
    if match is None or match[1] not in FUNCTIONS:
        raise _malformed(source, f"{text[:40]!r} is no function; there are {', '.join(FUNCTIONS)}")
    wanted = FUNCTIONS[match[1]][0]
    given = [] if match[2] is None else [_argument(source, one) for one in _split(match[2], ",")]
    if len(given) != len(wanted) or any(type(one) is not kind for one, kind in zip(given, wanted, strict=True)):
        takes = ", ".join("a text" if kind is str else "a whole number" for kind in wanted) or "nothing"
        raise _malformed(source, f"{match[1]} takes {takes}")
    if match[1] in _CUTTING and given[0] == "":
        raise _malformed(source, f"{match[1]} needs a text that is not empty")
    return match[1], tuple(given)


def _argument(source: str, text: str) -> str | int:
    match = _ARGUMENT.match(text)
    if match is None:
        raise _malformed(source, f"{text.strip()[:40]!r} is neither a text in quotes nor a whole number")
    if match[3] is not None:
        return int(match[3])
    return match[1] if match[1] is not None else match[2]
