"""What a person may see of a packet: names and values in plain words, and no secret among them.

Passwords, keys, what proves them and what leads to a conversation (State) are told by their length alone; so is what
the dictionary does not know, since it could be any of these. Octets of strangers are made safe for pages and terminals.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from troth.radius.wire.addresses import safe_text
from troth.radius.wire.definitions import Definition
from troth.radius.wire.dictionary import DICTIONARY, Dictionary, Field, untagged
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import Packet
from troth.radius.wire.values import decode_value

_MAX_HEX: Final = 64
#: Names within an ``avpair`` whose value is a key or a password: ``psk=``, ``leap:session-key=``, ``tunnel-password=``.
_SECRET_NAME = re.compile(r"psk|pass|pwd|secret|key|cred|token|pac-|ticket", re.IGNORECASE)
_PAIR = re.compile(r"([^=*]*)[=*](.*)", re.DOTALL)


def read(packet: Packet, dictionary: Dictionary = DICTIONARY) -> list[tuple[str, str]]:
    """Name and value of each attribute in order. An attribute that is one value in several parts stands there once."""
    shown: list[tuple[str, str]] = []
    joined: set[int] = set()
    for field in dictionary.walk(packet):
        if field.definition is not None and field.definition.data == "concat":
            kind = field.path[0]
            if kind in joined:
                continue
            joined.add(kind)
            field = field._replace(value=packet.joined(kind))
        shown.append((label(field, dictionary), shown_value(field)))
    return shown


def label(field: Field, dictionary: Dictionary = DICTIONARY) -> str:
    """What an attribute is called: its name, or its number and whose it is."""
    if field.definition is not None:
        return field.definition.name
    path = ".".join(str(part) for part in field.path)
    whose = dictionary.vendor(field.vendor).name if field.vendor else "Attribute"
    return f"{whose}-{path}" if path else whose


def shown_value(field: Field) -> str:
    """The value in words, at most some 260 characters; never one that is private."""
    definition = field.definition
    if definition is None or definition.private:
        return f"({len(field.value)} octets)"
    tag, octets = untagged(definition, field.value)
    try:
        text = _words(definition, decode_value(definition.data, octets))
    except (PacketRefused, KeyError):
        return f"({len(field.value)} octets that are no {definition.data})"
    return f"{text} (tag {tag})" if tag else text


def _words(definition: Definition, value: Any) -> str:
    if definition.data == "avpair":
        return _pair(value)
    if isinstance(value, str):
        return safe_text(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return value[:_MAX_HEX].hex() + ("…" if len(value) > _MAX_HEX else "")
    if isinstance(value, datetime):
        return value.isoformat()
    return definition.word(value) or str(value) if isinstance(value, int) else str(value)


def _pair(text: str) -> str:
    found = _PAIR.match(text)
    if found is not None and _SECRET_NAME.search(found[1]):
        text = f"{found[1]}=({len(found[2])} characters)"
    return safe_text(text.encode("utf-8", "surrogateescape"))
