"""CBOR (RFC 8949) from strangers: the part that attestation statements use, and nothing else.

Integers, byte and text strings, arrays, maps, true, false and null; strings and containers of definite or indefinite
length (WebAuthn forbids the latter, real clients send them). Refused: tags, floating point, undefined, keys that are
not text, keys twice, more than :data:`MAX_DEPTH` containers in each other, more than :data:`MAX_ITEMS` items, and bytes
after the end. Lengths are held against what is left before anything is allocated.
"""

from __future__ import annotations

from typing import TypeAlias

MAX_BYTES = 131_072
MAX_DEPTH = 4
MAX_ITEMS = 1_000

Value: TypeAlias = "int | bytes | str | bool | list[Value] | dict[str, Value] | None"
Key: TypeAlias = "int | str"

_INDEFINITE = -1
_BREAK = object()
_SIMPLE = {20: False, 21: True, 22: None}


class CborError(ValueError):
    """The bytes are not the CBOR that is taken. The message names the rule, never the content."""


def decode(data: bytes) -> Value:
    """The one item that ``data`` is. Raises CborError."""
    reader = _Reader(data)
    return reader.whole()


def decode_int_keyed(data: bytes) -> dict[Key, object]:
    """One map whose keys may be integers too (Android's provisioning information). Raises CborError."""
    found = _Reader(data, int_keys=True).whole()
    if not isinstance(found, dict):
        raise CborError("not a map")
    return dict(found.items())


class _Reader:
    def __init__(self, data: bytes, *, int_keys: bool = False) -> None:
        if len(data) > MAX_BYTES:
            raise CborError(f"longer than {MAX_BYTES:,} bytes")
        self._data = data
        self._at = 0
        self._items = 0
        self._int_keys = int_keys

    def whole(self) -> Value:
        found = self._item(0)
        if self._at != len(self._data):
            raise CborError("bytes after the end")
        return found

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise CborError("cut short")
        begin = self._at
        self._at += count
        return self._data[begin : self._at]

    def _head(self) -> tuple[int, int]:
        """(major type, argument); the argument is _INDEFINITE where the length is."""
        first = self._take(1)[0]
        major, info = first >> 5, first & 0x1F
        if info < 24:
            return major, info
        if info <= 27:
            return major, int.from_bytes(self._take(1 << (info - 24)), "big")
        if info == 31 and major in (2, 3, 4, 5, 7):
            return major, _INDEFINITE
        raise CborError("reserved length")

    def _item(self, depth: int) -> Value:
        found = self._any(depth)
        if found is _BREAK:
            raise CborError("a break outside of an indefinite length")
        return found  # type: ignore[return-value]  # the sentinel was the only other thing

    def _any(self, depth: int) -> object:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise CborError(f"more than {MAX_ITEMS} items")
        begin = self._at
        major, argument = self._head()
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major in (2, 3):
            return self._string(major, argument)
        if major in (4, 5):
            if depth >= MAX_DEPTH:
                raise CborError(f"more than {MAX_DEPTH} levels")
            return self._array(argument, depth + 1) if major == 4 else self._map(argument, depth + 1)
        if major == 6:
            raise CborError("a tag")
        if argument == _INDEFINITE:
            return _BREAK
        if self._at - begin != 1 or argument not in _SIMPLE:
            raise CborError("a simple or floating-point value that no statement uses")
        return _SIMPLE[argument]

    def _string(self, major: int, size: int) -> bytes | str:
        if size != _INDEFINITE:
            return self._chunk(major, size)
        chunks = []
        while True:
            kind, size = self._head()
            if (kind, size) == (7, _INDEFINITE):
                break
            if kind != major or size == _INDEFINITE:
                raise CborError("a chunk of another kind")
            self._items += 1
            if self._items > MAX_ITEMS:
                raise CborError(f"more than {MAX_ITEMS} items")
            chunks.append(self._chunk(major, size))
        if major == 2:
            return b"".join(one for one in chunks if isinstance(one, bytes))
        return "".join(one for one in chunks if isinstance(one, str))

    def _chunk(self, major: int, size: int) -> bytes | str:
        taken = self._take(size)
        if major == 2:
            return taken
        try:
            return taken.decode()
        except UnicodeDecodeError:
            raise CborError("text that is not UTF-8") from None

    def _array(self, size: int, depth: int) -> list[Value]:
        found: list[Value] = []
        while size == _INDEFINITE or len(found) < size:
            item = self._any(depth)
            if item is _BREAK:
                if size == _INDEFINITE:
                    break
                raise CborError("a break outside of an indefinite length")
            found.append(item)  # type: ignore[arg-type]
        return found

    def _map(self, size: int, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while size == _INDEFINITE or len(found) < size:
            key = self._any(depth)
            if key is _BREAK:
                if size == _INDEFINITE:
                    break
                raise CborError("a break outside of an indefinite length")
            if not isinstance(key, str) and not (self._int_keys and isinstance(key, int) and not isinstance(key, bool)):
                raise CborError("a key that is not text")
            if key in found:
                raise CborError("a key twice")
            found[key] = self._item(depth)  # type: ignore[index]  # an integer only where the caller asked for it
        return found
