"""Canonical JSON: one byte string for one value, so that hashes of records can be recomputed by anyone.

A subset of RFC 8785 that needs no special number rules: objects with string keys, arrays, strings, integers,
booleans and null. Floats are refused: their text form is where canonical encodings differ.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_json(value: Json) -> bytes:
    """``value`` as UTF-8 JSON with sorted keys and no spaces. Raises TypeError for floats and other types."""
    if _is_plain(value):
        return _quick.encode(value)
    _refuse_floats(value)
    return _encoder.encode(value).encode()


#: Both write the same bytes (tests/unit/kit/test_canonical.py holds that); the quick one would also write what is no
#: JSON of ours, such as bytes, and is given nothing but plain values.
_quick = msgspec.json.Encoder(order="sorted")
_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
#: Told by its exact type, which costs a fraction of what asking a protocol does.
_LEAVES = frozenset({str, int, bool, type(None)})
_KEYS = frozenset({str})


def _is_plain(value: object) -> bool:
    """Whether ``value`` is made of nothing but the exact types of JSON without floats."""
    pending = [value]
    for one in pending:  # which grows by what lies inside: a call for each would cost more than all else
        kind = type(one)
        if kind is dict:
            if not _KEYS.issuperset(map(type, one)):  # type: ignore[call-overload]
                return False
            inside: Collection[object] = one.values()  # type: ignore[attr-defined]
        elif kind is list or kind is tuple:
            inside = one  # type: ignore[assignment]
        elif kind in _LEAVES:
            continue
        else:
            return False
        if not _LEAVES.issuperset(map(type, inside)):
            pending += [inner for inner in inside if type(inner) not in _LEAVES]
    return True


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("canonical JSON holds no floats; use an integer with its unit in the name")
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_floats(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_floats(inner)
