"""Access servers as tests need them."""

from __future__ import annotations

from troth.radius.nas.model import Nas


def nas(name: str = "ap-7") -> Nas:
    """An access server of that name."""
    return Nas(id=name, name=name)
