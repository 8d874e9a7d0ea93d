"""Canonical JSON: one byte string for one value, so that hashes of records can be recomputed by anyone.

A subset of RFC 8785 that needs no special number rules: objects with string keys, arrays, strings, integers,
booleans and null. Floats are refused: their text form is where canonical encodings differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_json(value: Json) -> bytes:
    """``value`` as UTF-8 JSON with sorted keys and no spaces. Raises TypeError for floats and other types."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("canonical JSON holds no floats; use an integer with its unit in the name")
    if isinstance(value, Mapping):
        for inner in value.values():
            _refuse_floats(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_floats(inner)
