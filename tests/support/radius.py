"""Access servers as tests need them."""

from __future__ import annotations

from uuid import NAMESPACE_DNS, uuid5

from troth.radius.nas.model import Nas


def nas(name: str = "ap-7") -> Nas:
    """An access server of that name."""
    return Nas(uuid5(NAMESPACE_DNS, name), name, ("127.0.0.0/8",), "generic")
