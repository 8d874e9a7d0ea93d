"""The places in force, in memory: what a verdict's words for a place come to, and the ACLs that switches ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from troth.radius.places import store
from troth.radius.places.downloads import Downloads
from troth.radius.places.errors import PLACE_UNKNOWN, PlaceUnknown
from troth.radius.places.model import Place, PlaceDefinition, check_word, invalid, place_of
from troth.store.unit import Reader

#: What a place is called that a policy describes without naming one.
UNNAMED = "policy"


class PlaceBook:
    """All places at one moment. It is replaced as a whole when the ledger tells of a change (``place.*``)."""

    def __init__(self, definitions: Iterable[PlaceDefinition] = (), before: PlaceBook | None = None) -> None:
        self._places = {one.name: place_of(one) for one in definitions}
        self.downloads: Downloads = Downloads(self._places.values(), before.downloads if before is not None else None)

    def place(
        self,
        *,
        name: str | None = None,
        role: str | None = None,
        vlan: str | None = None,
        acl: str | None = None,
        session_time: timedelta | None = None,
    ) -> Place:
        """The place of that name with what the policy says over it, which then is essential as well.

        ``session_time`` bounds the place's own. An ACL by name replaces the place's rules. Raises PlaceUnknown,
        PlaceInvalid: whoever would be there is to be rejected.
        """
        place = Place(name=UNNAMED) if name is None else self._places.get(name)
        if place is None:
            raise PlaceUnknown(PLACE_UNKNOWN, f"there is no place {name!r:.80}", place=f"{name:.80}")
        said: dict[str, Any] = {}
        if role is not None:
            said["role"] = check_word(place.name, "role", role)
        if acl is not None:
            said["acl"] = check_word(place.name, "acl", acl)
        if vlan is not None:
            said["vlan"] = _vlan(place.name, vlan)
        if said:
            if acl is not None:
                place = replace(place, acl_rules=(), downloadable=False, essential=place.essential - {"acl_rules"})
            place = replace(place, **said, essential=place.essential | said.keys())
        if session_time is not None:
            seconds = max(1, int(session_time.total_seconds()))
            place = replace(place, session_timeout=min(seconds, place.session_timeout or seconds))
        return place

    def __len__(self) -> int:
        return len(self._places)


async def load_book(reader: Reader, before: PlaceBook | None = None) -> PlaceBook:
    """The places in force. ``before``: the former book, whose ACLs may still be asked for."""
    return PlaceBook([one.definition for one in await store.places(reader)], before)


def _vlan(place: str, vlan: str) -> int | str:
    if not vlan.isdecimal():
        return check_word(place, "vlan", vlan)
    if not vlan.isascii() or not 1 <= int(vlan[:6]) <= 4094:
        raise invalid(place, "vlan", "a VLAN has a number from 1 to 4094")
    return int(vlan)
