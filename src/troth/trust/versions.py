"""Versions of systems as vendors write them, compared part by part as numbers: 14.10 is later than 14.9."""

from __future__ import annotations

import re
from itertools import zip_longest

_VERSION = re.compile(r"[0-9]{1,9}(?:[.][0-9]{1,9}){0,7}")


def version_of(text: str) -> tuple[int, ...] | None:
    """The numbers at the beginning of ``text``; None if it does not begin with one.

    What follows them does not count: ``14.2.1 (a)`` (Apple's rapid security responses), ``10.0.22631-beta``.

    >>> version_of("10.0.22631 Build 4")
    (10, 0, 22631)
    """
    found = _VERSION.match(text.strip())
    return tuple(map(int, found[0].split("."))) if found is not None else None


def version_at_least(version: str, wanted: str) -> bool:
    """Whether ``version`` is ``wanted`` or later; parts that are missing are 0. Raises ValueError for no version."""
    mine, least = version_of(version), version_of(wanted)
    if mine is None or least is None:
        raise ValueError("not a version")
    pairs = list(zip_longest(mine, least, fillvalue=0))
    return [one for one, _ in pairs] >= [other for _, other in pairs]
