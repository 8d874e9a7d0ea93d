"""The one-line grammar of the vendors' data: ``Attribute-Name = text with {placeholders}``.

A placeholder is one of a closed set of names, checked when a file is read; a line one of whose placeholders has no
value is left out. ``{sgt:04X}`` formats as Python does, and nothing else of Python is reachable: neither attributes
nor indices.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from troth.radius.wire.dictionary import DICTIONARY
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import Attribute

_NUMBERS: Final = frozenset({"integer", "enum"})
_OCTETS: Final = frozenset({"string", "concat"})

_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*) = (.+)\Z")
_SPEC: Final = re.compile(r"(0?[0-9]{1,2}[dxX])?\Z")
_PARSER: Final = string.Formatter()


@dataclass(frozen=True, slots=True)
class Line:
    """One attribute to send. ``needs``: the placeholders in its text."""

    attribute: str
    text: str
    needs: frozenset[str]

    def filled(self, values: Mapping[str, str | int]) -> Attribute | None:
        """The attribute with ``values`` put in; None if one that it needs is not among them.

        Raises PacketRefused for what does not fit the attribute.
        """
        if not self.needs <= values.keys():
            return None
        return encoded(self.attribute, self.text.format_map(values))


def parse_line(text: str, *, known: frozenset[str]) -> Line:
    """The line in ``text``, whose placeholders are among ``known``. Raises ValueError."""
    found = _LINE.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no line of the form Attribute-Name = text")
    name, template = found.groups()
    try:
        DICTIONARY.find(name)
    except PacketRefused as error:
        raise ValueError(f"{text!r}: {error.detail}") from error
    needs = set()
    for _, field, spec, conversion in _PARSER.parse(template):
        if field is None:
            continue
        if field not in known:
            raise ValueError(f"{text!r}: there is no placeholder {field!r}")
        if conversion is not None or not _SPEC.match(spec or ""):
            raise ValueError(f"{text!r}: {{{field}}} is formatted in no way that is allowed")
        needs.add(field)
    return Line(name, template, frozenset(needs))


def parse_lines(texts: Iterable[str], *, known: frozenset[str]) -> tuple[Line, ...]:
    """See :func:`parse_line`."""
    return tuple(parse_line(one, known=known) for one in texts)


def filled(lines: Iterable[Line], values: Mapping[str, str | int]) -> Iterator[Attribute]:
    """The lines with ``values`` put in; those that lack one are left out."""
    made = (line.filled(values) for line in lines)
    return (one for one in made if one is not None)


def encoded(attribute: str, text: str) -> Attribute:
    """``text`` as the named attribute. Raises PacketRefused for what it cannot hold."""
    data = DICTIONARY.find(attribute).data
    value = int(text) if data in _NUMBERS else text.encode() if data in _OCTETS else text
    return DICTIONARY.value(attribute, value)
