"""What applying a definition did, or would do: the same word for every document that is made of named definitions."""

from __future__ import annotations

from enum import Enum


class Applied(Enum):
    """What applying a definition did, or would do."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"

    @classmethod
    def of(cls, known: object | None, wanted: object) -> Applied:
        """What it is to apply ``wanted`` where ``known`` is there, or nothing (None)."""
        if known is None:
            return cls.CREATED
        return cls.UNCHANGED if known == wanted else cls.CHANGED


class Raced(Exception):
    """Somebody has created or changed the same thing meanwhile: look again, and apply what is then left to do."""
