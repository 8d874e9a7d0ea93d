"""Canonical JSON: one byte string for one value, so that hashes of records can be recomputed by anyone.

A subset of RFC 8785 that needs no special number rules: objects with string keys, arrays, strings, integers,
booleans and null. Floats are refused: their text form is where canonical encodings differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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


def _is_plain(value: object) -> bool:
    """Whether ``value`` is made of nothing but the exact types of JSON without floats."""
    kind = type(value)
    if kind in _LEAVES:
        return True
    if kind is dict:
        inside: Iterable[object] = value.values()  # type: ignore[attr-defined]
        for key in value:  # type: ignore[attr-defined]
            if type(key) is not str:
                return False
    elif kind is list or kind is tuple:
        inside = value  # type: ignore[assignment]
    else:
        return False
    for inner in inside:  # noqa: SIM110 -- a generator costs more than the loop
        if type(inner) not in _LEAVES and not _is_plain(inner):
            return False
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
