"""Enumerations of words that hot paths speak: each decision asks dozens of members for their hash and their value."""

from __future__ import annotations

from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING


class Word(Enum):
    """An enumeration whose members tell both without a step of Python; Enum's own takes one for the hash, and two for
    the value."""

    # A member is one object, and so its identity says as much as its name.
    __hash__ = object.__hash__
    if not TYPE_CHECKING:  # a checker knows the type of each member's own
        value = property(attrgetter("_value_"))
