"""Keeping places: applying definitions, and removing one that nothing leads to any more.

A file is applied in one unit. The ledger has the whole definition of every change (``place.applied``), so that whoever
follows it knows the places in force, and a reader of last year's decisions knows what a name meant then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.radius.nas import store as nas_store
from troth.radius.places import store
from troth.radius.places.errors import PLACE_IN_USE, PLACE_UNKNOWN, PlaceError, PlaceUnknown
from troth.radius.places.model import Place, PlaceDefinition, is_place_name, place_of
from troth.radius.places.rendering import Loss, losses_of
from troth.radius.places.store import LOCK_PLACE, Stored
from troth.radius.places.vendors import vendor, vendors
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced

#: Which networks lead to a place.
Users = Callable[[str], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Lost:
    """What a vendor whose equipment there is cannot be told. ``refused``: clients there are rejected instead."""

    vendor: str
    loss: Loss
    refused: bool


@dataclass(frozen=True, slots=True)
class AppliedPlace:
    """One place after applying."""

    definition: PlaceDefinition
    change: Applied
    lost: tuple[Lost, ...] = ()


class PlaceDesk:
    """The places of this installation.

    Applying a place says what of it is lost on the access servers that there are. ``users``: which networks lead to a
    place, so that none is removed from under them.
    """

    def __init__(self, database: Database, clock: Clock, *, users: Users | None = None) -> None:
        self._database = database
        self._clock = clock
        self._users = users

    async def places(self) -> list[Stored]:
        """Every place, by name."""
        return await store.places(self._database)

    async def find(self, name: str) -> Stored:
        """The place of that name. Raises PlaceUnknown."""
        found = await store.find(self._database, name) if is_place_name(name) else None
        if found is None:
            raise _unknown(name)
        return found

    async def losses(self, definition: PlaceDefinition) -> tuple[Lost, ...]:
        """What the equipment that there is cannot be told of a place."""
        return _lost(definition, await self._equipment())

    async def _equipment(self) -> Sequence[str]:
        """The vendors of the access servers that there are, as far as there is data for them."""
        known = set(vendors())
        there = await nas_store.all_nas(self._database)
        return sorted({one.definition.vendor for one in there if one.retired_at is None} & known)

    async def preview(self, definitions: Sequence[PlaceDefinition]) -> list[AppliedPlace]:
        """What :meth:`apply` would do; nothing is written."""
        present = {one.name: one.definition for one in await self.places()}
        equipment, found = await self._equipment(), []
        for one in definitions:
            known = present.get(one.name)
            change = Applied.of(known, one)
            found.append(AppliedPlace(one, change, _lost(one, equipment)))
        return found

    async def apply(
        self, definitions: Sequence[PlaceDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedPlace]:
        """Bring the places into the defined form, all or none. Those that are not named stay as they are.

        ``joined`` is committed with it.
        """
        while True:
            planned, at, unit = await self.preview(definitions), self._clock.now(), Unit()
            for one in planned:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    store.create(unit, one.definition, at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(LOCK_PLACE, name, refuse=Raced(), key=("network_place", name))
                    store.update(unit, one.definition, at=at, actor=actor)
                if one.change is not Applied.UNCHANGED:
                    defined: Json = msgspec.to_builtins(one.definition)
                    unit.record(_event("place.applied", name, actor, change=one.change.value, definition=defined))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return planned

    async def remove(self, name: str, *, actor: str) -> None:
        """Forget a place. Raises PlaceUnknown; PlaceError (``radius.place.in_use``) while networks lead to it."""
        await self.find(name)
        users = await self._users(name) if self._users is not None else ()
        if users:
            raise PlaceError(PLACE_IN_USE, f"place {name!r} is where {', '.join(users[:20])} lead")
        unit = Unit().guard(LOCK_PLACE, name, refuse=_unknown(name), key=("network_place", name))
        store.remove(unit, name)
        unit.record(_event("place.removed", name, actor))
        await self._database.commit(unit)


def lost_on(place: Place, vendor_name: str) -> tuple[Lost, ...]:
    """What one vendor cannot be told of a place. Raises VendorUnknown."""
    known = vendor(vendor_name)
    return tuple(Lost(vendor_name, loss, loss.field in place.essential) for loss in losses_of(place, known))


def _lost(definition: PlaceDefinition, equipment: Sequence[str]) -> tuple[Lost, ...]:
    return tuple(one for name in equipment for one in lost_on(place_of(definition), name))


def _event(kind: str, name: str, actor: str, **data: Json) -> Event:
    told: dict[str, Json] = {"place": name}
    return Event(kind, actor, (f"network_place:{name}",), told | data)


def _unknown(name: str) -> PlaceUnknown:
    return PlaceUnknown(PLACE_UNKNOWN, f"there is no place {name[:80]!r}", place=name[:80])
