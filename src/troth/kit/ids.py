"""Identifiers: UUIDv7 (RFC 9562, 5.7), so that rows made together lie together on disk."""

from __future__ import annotations

import os
import re
import time
from struct import iter_unpack
from uuid import UUID, SafeUUID

_last_ns = 0
_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.ASCII)
# ``UUID`` looks at each of its six ways to be made before it takes one, and refuses to have its members set.
_make, _set_int, _set_safe = object.__new__, vars(UUID)["int"].__set__, vars(UUID)["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown


def _of(number: int) -> UUID:
    made = _make(UUID)
    _set_int(made, number)
    _set_safe(made, _UNKNOWN)
    return made


#: Random numbers of 64 bits from the kernel, fetched for many identifiers at once. These are no secrets, and have to be
#: unique: a forked child begins with numbers of its own, and no two threads are given the same one.
_chances = iter_unpack(">Q", b"")


def _forget_chances() -> None:
    global _chances
    _chances = iter_unpack(">Q", b"")


os.register_at_fork(after_in_child=_forget_chances)


def _chance() -> int:
    global _chances
    while True:
        for (number,) in _chances:
            return int(number)
        _chances = iter_unpack(">Q", os.urandom(2048))


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, 12 bits of sub-millisecond order, 62 random bits.

    Identifiers made by one process sort in the order of their making.
    """
    global _last_ns
    ns = time.time_ns()
    if ns <= _last_ns:
        # Two calls within the clock's grain (or a clock that stepped back): keep the order anyway.
        ns = _last_ns + 250
    _last_ns = ns
    milliseconds, rest = divmod(ns, 1_000_000)
    order = (rest << 12) // 1_000_000
    tail = _chance() & 0x3FFF_FFFF_FFFF_FFFF
    return _of((milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | order << 64 | 0b10 << 62 | tail)


def parse_id(text: str) -> UUID | None:
    """``text`` as a UUID in its canonical form, or None: a URL segment that is no identifier finds nothing."""
    if _CANONICAL.match(text) is None:
        return None
    return _of(int(text.replace("-", ""), 16))
