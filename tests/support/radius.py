"""Access servers as tests need them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedNas:
    """An access server that has a name."""

    name: str


def nas(name: str = "ap-7") -> NamedNas:
    """An access server of that name."""
    return NamedNas(name)
