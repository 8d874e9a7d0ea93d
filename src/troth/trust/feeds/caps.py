"""Caps: how many subjects one feed may restrict in one window before a person must look.

Correlated badness is more often a broken sensor than an attack on everybody at once. What lies above the cap is not
lost: it is staged. Hard rules skip scoring, never the caps. The arithmetic is pure; the count is taken with the
feed's row locked (``signal_store.LOCK_FEED``), or thirty signals at once would each see room for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Cap:
    """At most the greater of ``percent`` of the subjects in scope and ``subjects``, in each ``window``."""

    percent: int = 2
    subjects: int = 10
    window: timedelta = timedelta(hours=1)

    def allowed(self, population: int) -> int:
        """How many of ``population`` subjects may be restricted in one window."""
        return max(self.subjects, population * self.percent // 100)

    def binds_below(self) -> int:
        """Below this many restricted subjects no population need be counted."""
        return self.subjects
