"""Keeping networks: applying definitions and removing them.

A file is applied in one unit, so that a mistake in its last line leaves the first line unapplied too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.anchor_store import AnchorStore, TrustAnchor
from troth.pki.authority_store import AuthorityStore
from troth.radius.admission import network_store
from troth.radius.admission.document import NetworkDefinition, invalid, is_network_name, network_of
from troth.radius.admission.errors import NETWORK_UNKNOWN, NetworkUnknown
from troth.radius.admission.lists import ForeignLists
from troth.radius.admission.network_store import LOCK_NETWORK, Stored
from troth.radius.nas import store as nas_store
from troth.radius.places import store as place_store
from troth.radius.proxy import store as pool_store
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced

_MOST: Final = 200
_NONE: Final = frozenset[str]()
_NOTHING: Final[Mapping[str, frozenset[str]]] = {}
#: For so long no breaker opens for what a person has said to be right.
CLOSED_FOR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AppliedNetwork:
    """One network after applying. ``detail``: which fields change."""

    definition: NetworkDefinition
    change: Applied
    detail: str = ""


class NetworkDesk:
    """The networks of this installation."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.foreign_lists = ForeignLists(database, clock)

    async def list(self) -> Sequence[Stored]:
        """All, by name."""
        return await network_store.networks(self._database)

    async def find(self, name: str) -> Stored:
        """The network of that name. Raises NetworkUnknown."""
        found = await network_store.find(self._database, name) if is_network_name(name) else None
        if found is None:
            raise _unknown(name)
        return found

    async def leading_to(self, place: str) -> Sequence[str]:
        """Names of the networks that lead to a place."""
        return [one.name for one in await self.list() if place in one.definition.places.values()]

    async def handing_to(self, pool: str) -> Sequence[str]:
        """Names of the networks that hand their conversations on to a pool."""
        return [one.name for one in await self.list() if one.definition.proxy == pool]

    async def preview(
        self, definitions: Sequence[NetworkDefinition], *, coming: Mapping[str, frozenset[str]] = _NOTHING
    ) -> Sequence[AppliedNetwork]:
        """What :meth:`apply` would do; nothing is written. Raises NetworkInvalid.

        ``coming``: what will have been applied by then, by the keys ``places``, ``nas`` and ``proxies``.
        """
        present = {one.name: one.definition for one in await self.list()}
        store = AuthorityStore(self._database)
        there = _There(
            authorities=frozenset(one.slug for one in await store.authorities()),
            profiles=frozenset(name for name, *_ in await store.profiles()),
            anchors=await self._anchors(),
            places=coming.get("places", _NONE) | {one.name for one in await place_store.places(self._database)},
            nas=coming.get("nas", _NONE) | {one.name for one in await nas_store.all_nas(self._database)},
            pools=coming.get("proxies", _NONE) | {one.name for one in await pool_store.pools(self._database)},
        )
        then = {**present, **{one.name: one for one in definitions}}
        if len(then) > _MOST:
            raise invalid(definitions[0], "name", f"there would be more than {_MOST} networks")
        found = []
        for one in definitions:
            _check(one, there)
            _unambiguous(one, then)
            known = present.get(one.name)
            differences = ", ".join(_differences(known, one)) if known is not None else ""
            found.append(AppliedNetwork(one, Applied.of(known, one), differences))
        return found

    async def _anchors(self) -> Mapping[str, Sequence[TrustAnchor]]:
        found: dict[str, list[TrustAnchor]] = {}
        for anchor in await AnchorStore(self._database).all():
            found.setdefault(anchor.name, []).append(anchor)
        return found

    async def apply(
        self, definitions: Sequence[NetworkDefinition], *, actor: str, joined: Unit | None = None
    ) -> Sequence[AppliedNetwork]:
        """Bring the networks into the defined form, all or none. Those that are not named stay as they are.

        ``joined`` is committed with it.
        """
        while True:
            planned, at, unit = await self.preview(definitions), self._clock.now(), Unit()
            for one in planned:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    network_store.create(unit, one.definition, at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(LOCK_NETWORK, name, refuse=_unknown(name), key=("network", name))
                    network_store.update(unit, one.definition, at=at, actor=actor)
                if one.change is not Applied.UNCHANGED:
                    unit.record(_event("network.applied", name, actor, one.definition, one.change.value))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return planned

    async def remove(self, name: str, *, actor: str, joined: Unit | None = None) -> None:
        """Forget a network: whoever joins it from then on is refused. Raises NetworkUnknown."""
        stored = await self.find(name)
        unit = Unit().guard(LOCK_NETWORK, name, refuse=_unknown(name), key=("network", name))
        network_store.remove(unit, name)
        unit.record(_event("network.removed", name, actor, stored.definition, "removed"))
        await self._database.commit(unit if joined is None else unit.absorb(joined))

    async def close_breaker(self, name: str, *, actor: str, note: str) -> None:
        """Have every worker refuse again what its breaker excuses there, for a day. Raises NetworkUnknown."""
        await self.find(name)
        event = Event(
            "network.breaker_closed", actor, (f"network:{name}",),
            {"network": name, "note": note[:500], "seconds": int(CLOSED_FOR.total_seconds())},
        )  # fmt: skip
        await self._database.commit(Unit().record(event))


@dataclass(frozen=True, slots=True)
class _There:
    """What a network may name."""

    authorities: frozenset[str]
    profiles: frozenset[str]
    anchors: Mapping[str, Sequence[TrustAnchor]]
    places: frozenset[str]
    nas: frozenset[str]
    pools: frozenset[str]


def _check(one: NetworkDefinition, there: _There) -> None:
    """Raise NetworkInvalid unless everything that ``one`` names is there."""
    network_of(one)
    for slug in one.authorities:
        if slug not in there.authorities:
            raise invalid(one, "authorities", f"there is no authority {slug!r}")
    for name in one.anchors:
        found = there.anchors.get(name, ())
        if len(found) != 1:
            raise invalid(
                one, "anchors", f"there {'are several trust anchors' if found else 'is no trust anchor'} {name!r}"
            )
        if "clientAuth" not in found[0].purposes:
            raise invalid(one, "anchors", f"{name!r} is not believed about clientAuth: add it for that purpose")
    for outcome, place in one.places.items():
        if place not in there.places:
            raise invalid(one, f"places.{outcome}", f"there is no place {place!r}; apply it first")
    for name in one.match.nas:
        if name not in there.nas:
            raise invalid(one, "match.nas", f"there is no access server {name!r}; apply it first")
    if one.proxy is not None and one.proxy not in there.pools:
        raise invalid(one, "proxy", f"there is no pool {one.proxy!r}; apply it under `proxies:` first")
    named = [("profiles", each) for each in one.profiles]
    rules = (("foreign", one.foreign), ("mab", one.mab), ("pap", one.pap))
    named += [(field, rule.policy) for field, rule in rules if rule is not None]
    if one.policy is not None:
        named.append(("policy", one.policy))
    for field, profile in named:
        if profile not in there.profiles:
            raise invalid(one, field, f"there is no profile {profile!r}")


def _unambiguous(one: NetworkDefinition, coming: Mapping[str, NetworkDefinition]) -> None:
    """Raise NetworkInvalid if another network matches exactly the same: the alphabet would choose."""
    match = network_of(one).match
    for other in coming.values():
        if other.name != one.name and network_of(other).match == match:
            raise invalid(one, "match", f"the network {other.name!r} matches exactly the same")


def _differences(before: NetworkDefinition, after: NetworkDefinition) -> Sequence[str]:
    names = NetworkDefinition.__struct_fields__
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _unknown(name: str) -> NetworkUnknown:
    return NetworkUnknown(NETWORK_UNKNOWN, f"there is no network {name[:80]!r}", network=name[:80])


def _event(kind: str, name: str, actor: str, definition: NetworkDefinition, change: str) -> Event:
    told: Json = msgspec.to_builtins(definition)
    return Event(kind, actor, (f"network:{name}",), {"network": name, "change": change, "definition": told})
