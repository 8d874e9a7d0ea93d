"""Identifiers: UUIDv7 (RFC 9562, 5.7), so that rows made together lie together on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from struct import Struct, iter_unpack
from uuid import UUID

_last_ns = 0
_HALVES = Struct(">QQ")


def _plain(of: bytes | str) -> UUID:
    return UUID(of) if isinstance(of, str) else UUID(bytes=of)


_made_of: Callable[[bytes | str], UUID] = _plain


def make_with(make: Callable[[bytes | str], UUID]) -> None:
    """From now on identifiers are what ``make`` makes of their 16 octets, or their text: a faster class of ``UUID``.

    Where there is a database there is its driver's, in C: an order makes, names and writes three dozen identifiers, at
    a tenth of what Python's own takes for each. Where there is none (the agent), nothing is loaded for it.
    """
    global _made_of
    _made_of = make


#: Random numbers of 64 bits from the kernel, fetched for many identifiers at once. These are no secrets, and have to be
#: unique: a forked child begins with numbers of its own, and no two threads are given the same one.
_chances = iter_unpack(">Q", b"")


def _forget_chances() -> None:
    global _chances
    _chances = iter_unpack(">Q", b"")


os.register_at_fork(after_in_child=_forget_chances)


def _more_chances() -> tuple[int]:
    global _chances
    while True:
        for found in _chances:
            return found
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
    head = (milliseconds & 0xFFFF_FFFF_FFFF) << 16 | 0x7 << 12 | order
    (chance,) = next(_chances, None) or _more_chances()
    return _made_of(_HALVES.pack(head, 0b10 << 62 | chance & 0x3FFF_FFFF_FFFF_FFFF))


def parse_id(text: str) -> UUID | None:
    """``text`` as a UUID in its canonical form, or None: a URL segment that is no identifier finds nothing."""
    try:
        found = _made_of(text)
    except ValueError:
        return None
    return found if str(found) == text else None
