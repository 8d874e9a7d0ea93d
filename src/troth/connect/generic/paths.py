"""Where in a JSON value something stands: ``/host/name`` (RFC 6901) or ``host.name``, ``alerts.0.id``.

Looking never raises and never computes: a path that leads nowhere finds nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

MAX_STEPS: Final = 16
_INDEX = re.compile(r"(0|[1-9][0-9]{0,5})\Z")
_DOTTED = re.compile(r"[A-Za-z0-9_@$-]+(\.[A-Za-z0-9_@$-]+)*\Z")
_TILDE = re.compile(r"~(?![01])")


class _Nothing:
    """What is found where nothing is; JSON's null is something."""


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. No steps: the whole value."""

    steps: tuple[str, ...]

    def find(self, value: Any) -> Any:
        """What stands there, or :data:`NOTHING`."""
        for step in self.steps:
            if isinstance(value, dict):
                if step not in value:
                    return NOTHING
                value = value[step]
            elif isinstance(value, list):
                if not _INDEX.match(step) or int(step) >= len(value):
                    return NOTHING
                value = value[int(step)]
            else:
                return NOTHING
        return value

    def text(self, value: Any, *, longest: int = 400, any_letters: bool = False) -> str | None:
        """A text or number that stands there, as a text; None if there is nothing of the kind or it is too long.

        ``any_letters``: what controls a terminal as well; whoever shows it must see to that.
        """
        found = self.find(value)
        if isinstance(found, bool) or not isinstance(found, (str, int)):
            return None
        text = str(found).strip()
        return text if 0 < len(text) <= longest and (any_letters or text.isprintable()) else None


def parse_path(text: str) -> Path:
    """The path in ``text``. Raises ValueError saying what is wrong."""
    if text in ("", "$"):
        return Path(())
    if len(text) > 400:
        raise ValueError("a path has at most 400 characters")
    if text.startswith("/"):
        if _TILDE.search(text):
            raise ValueError("in a JSON pointer ~ stands only in ~0 and ~1 (RFC 6901)")
        steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))
    else:
        if not _DOTTED.match(text):
            raise ValueError("a path is a JSON pointer (/host/name) or names with dots between them (host.name)")
        steps = tuple(text.split("."))
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a path has at most {MAX_STEPS} steps")
    return Path(steps)
