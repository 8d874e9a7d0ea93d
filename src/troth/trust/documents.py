"""YAML as people apply it: small safe subset, each value with its line, so that an error can point at it.

No tags, anchors or aliases (an alias can unfold without bound), no doubled keys (the second would silently win), no
fractions, bounded size and depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from troth.kit.canonical import Json
from troth.trust.literals import parse_duration, parse_time
from troth.trust.vocabulary import nearest

MAX_DEPTH = 16
_TAG = "tag:yaml.org,2002:"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(ValueError):
    """What is wrong, in which field, on which line (from 1)."""

    def __init__(self, message: str, line: int, field: str = "") -> None:
        super().__init__(f"line {line}{f', {field}' if field else ''}: {message}")
        self.message = message
        self.line = line
        self.field = field


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a document, with the path that leads to it."""

    node: yaml.Node
    path: str

    @property
    def line(self) -> int:
        """Line number from 1."""
        return int(self.node.start_mark.line) + 1

    def wrong(self, message: str) -> DocumentError:
        """An error about this value, to raise."""
        return DocumentError(message, self.line, self.path)

    @property
    def is_mapping(self) -> bool:
        """Whether it holds fields."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_text(self) -> bool:
        """Whether it is a plain string."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == _TAG + "str"

    @property
    def is_integer(self) -> bool:
        """Whether it is a whole number."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == _TAG + "int"

    @property
    def is_boolean(self) -> bool:
        """Whether it is true or false."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == _TAG + "bool"

    def fields(self, *known: str, required: tuple[str, ...] = ()) -> dict[str, Field]:
        """Its fields by name; only ``known`` (and ``required``) ones, unless none are named."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("a mapping of fields was expected")
        found: dict[str, Field] = {}
        for key, value in self.node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise DocumentError("a field's name is a word", key.start_mark.line + 1, self.path)
            name = key.value
            inner = Field(value, f"{self.path}.{name}" if self.path else name)
            if name in found:
                raise DocumentError("the field stands here twice", key.start_mark.line + 1, inner.path)
            allowed = {*known, *required}
            if allowed and name not in allowed:
                near = nearest(name, allowed)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(allowed))}"
                raise DocumentError(f"no such field; {hint}", key.start_mark.line + 1, inner.path)
            found[name] = inner
        for name in required:
            if name not in found:
                raise self.wrong(f"the field {name!r} is missing")
        return found

    def entries(self) -> Iterator[Field]:
        """Its entries, if it is a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("a list was expected")
        for number, item in enumerate(self.node.value):
            yield Field(item, f"{self.path}[{number}]")

    def _scalar(self, tag: str, what: str) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _TAG + tag:
            raise self.wrong(f"{what} was expected")
        return str(self.node.value)

    def text(self, *, limit: int = 4096) -> str:
        """A non-empty string."""
        found = self._scalar("str", "a text (put quotes around yes, no, numbers and dates)")
        if not 0 < len(found) <= limit or "\x00" in found:
            raise self.wrong(f"a text of 1 to {limit} characters was expected")
        return found

    def texts(self, *, limit: int = 4096) -> tuple[str, ...]:
        """A list of strings, none of them twice."""
        found = tuple(entry.text(limit=limit) for entry in self.entries())
        if len(set(found)) != len(found):
            raise self.wrong("an entry stands here twice")
        return found

    def boolean(self) -> bool:
        """true or false."""
        return self._scalar("bool", "true or false").lower() in ("true", "yes", "on")

    def integer(self) -> int:
        """A whole decimal number."""
        found = self._scalar("int", "a whole number")
        digits = found.removeprefix("-")
        if not digits.isdecimal() or (len(digits) > 1 and digits[0] == "0") or len(digits) > 15:
            raise self.wrong("a whole decimal number was expected")
        return int(found)

    def duration(self) -> timedelta:
        """``15m``, ``24h``, ``7d``."""
        found = parse_duration(self.text())
        if found is None or not found:
            raise self.wrong("a duration such as 15m, 24h or 7d was expected")
        return found

    def time(self) -> datetime:
        """An ISO 8601 time with its offset, in UTC."""
        node = self.node
        found = parse_time(node.value) if isinstance(node, yaml.ScalarNode) else None
        if found is None:
            raise self.wrong("a time with its offset was expected, such as 2026-11-23T10:00:00Z")
        return found.astimezone(UTC)

    def json(self) -> Json:
        """Whatever it is, as JSON: texts, whole numbers, true, false, lists; a time becomes ISO 8601 in UTC."""
        if isinstance(self.node, yaml.SequenceNode):
            return [entry.json() for entry in self.entries()]
        if isinstance(self.node, yaml.MappingNode):
            return {name: inner.json() for name, inner in self.fields().items()}
        tag = self.node.tag.removeprefix(_TAG)
        if tag == "bool":
            return self.boolean()
        if tag == "int":
            return self.integer()
        if tag == "timestamp":
            return self.time().isoformat()
        if tag == "str":
            return self.text()
        raise self.wrong("a text, a whole number, true, false or a list was expected")


def parse_document(text: str, *, max_bytes: int) -> Field:
    """The one document in ``text``, whose top is a mapping. Raises DocumentError."""
    if len(text.encode(errors="surrogatepass")) > max_bytes:
        raise DocumentError(f"the file is larger than {max_bytes} bytes", 1)
    try:
        _refuse_unbounded(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(error.problem or "not YAML", mark.line + 1 if mark else 1) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise DocumentError(f"not YAML: {str(error).splitlines()[0]}", 1) from error
    if not isinstance(node, yaml.MappingNode):
        raise DocumentError("the file holds no fields", 1)
    return Field(node, "")


def _refuse_unbounded(text: str) -> None:
    """Refuse depth and aliases before a tree is built: composing recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise DocumentError(f"nested deeper than {MAX_DEPTH}", _line(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise DocumentError("aliases are not taken; write it out", _line(event))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
