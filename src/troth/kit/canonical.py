"""Canonical JSON: one byte string for one value, so that hashes of records can be recomputed by anyone.

A subset of RFC 8785 that needs no special number rules: objects with string keys, arrays, strings, integers,
booleans and null. Floats are refused: their text form is where canonical encodings differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_json(value: Json) -> bytes:
    """``value`` as UTF-8 JSON with sorted keys and no spaces. Raises TypeError for floats and other types."""
    _refuse_floats(value)
    return _encoder.encode(value).encode()


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
#: Most of what an event holds; told by its exact type, which costs a fraction of what asking a protocol does.
_PLAIN = frozenset({str, int, bool, type(None)})


def _refuse_floats(value: object) -> None:
    if type(value) in _PLAIN:
        return
    if isinstance(value, float):
        raise TypeError("canonical JSON holds no floats; use an integer with its unit in the name")
    if isinstance(value, dict):
        inside: Iterable[object] = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value
    else:
        return
    for inner in inside:
        if type(inner) not in _PLAIN:
            _refuse_floats(inner)
