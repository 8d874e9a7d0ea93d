"""Documents of the network: access servers, networks, places, other servers. Each room that has one fulfils this port.

They are applied like all others (:mod:`troth.web.books.trusting`), each by an act of its own
(:class:`troth.web.acts.network.NetworkApply`); here stands what those two need of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from troth.kit.canonical import Json
from troth.store.unit import Unit
from troth.web.views import Change

#: Top-level key of a document → the act that applies it. ``coming`` below is by these keys.
ACTS: Mapping[str, str] = {
    "nas": "nas.apply",
    "networks": "network.apply",
    "places": "place.apply",
    "proxies": "proxy.apply",
}


@dataclass(frozen=True, slots=True)
class Planned:
    """What applying would do.

    Attributes:
        changes: one for each thing that the document defines.
        lines: the same in words, for whoever approves.
        state: what is in force of it now; an approval is void when that changes.
    """

    changes: tuple[Change, ...]
    lines: tuple[str, ...]
    state: Json


class NetworkDocument(Protocol):
    """One kind of document."""

    def names(self, text: str) -> frozenset[str]:
        """What it defines. Raises whatever is wrong with it."""
        ...

    async def plan(self, text: str, coming: Mapping[str, frozenset[str]]) -> Planned:
        """What applying would do; nothing is written. ``coming``: what documents beside it will have defined."""
        ...

    async def apply(self, text: str, *, actor: str, joined: Unit | None = None) -> Sequence[Change]:
        """Apply it, all of it or nothing. ``joined`` is committed with it."""
        ...
