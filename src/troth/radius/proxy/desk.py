"""Keeping pools: applying definitions, taking secrets, removing; and what a RADIUS process needs of them.

A definition file is applied in one unit, so that a mistake in its last line leaves the first line unapplied too.
Secrets come in by a way of their own, are sealed at once and never go out again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.sealing import SealBroken, SecretBox
from troth.radius.places import store as place_store
from troth.radius.proxy import store
from troth.radius.proxy.definition import PoolDefinition, invalid, is_pool_name, whole
from troth.radius.proxy.errors import POOL_IN_USE, POOL_UNKNOWN, SECRET_INVALID, PoolUnknown, ProxyError
from troth.radius.proxy.store import LOCK_POOL, StoredPool
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced

log = get_logger("radius")

#: Octets of a shared secret (RFC 2865 section 3 wants 16 at least; it must not be guessed off the wire).
LEAST_SECRET: Final = 16
MOST_SECRET: Final = 128


@dataclass(frozen=True, slots=True)
class AppliedPool:
    """One pool after applying. ``missing``: servers over UDP without a shared secret."""

    definition: PoolDefinition
    change: Applied
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """A pool with what is known of its secrets: server → when its was set."""

    stored: StoredPool
    secrets: Mapping[str, datetime]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InForce:
    """What a process runs: pools, and (pool, server) → secret. ``versions``: by which it sees what has changed."""

    pools: tuple[PoolDefinition, ...]
    secrets: Mapping[tuple[str, str], bytes]
    versions: Mapping[str, int]

    def __repr__(self) -> str:
        return f"InForce({[one.name for one in self.pools]})"


class PoolDesk:
    """The pools of this installation.

    ``users``: names of the networks that hand on to a pool, so that none is removed from under them.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        box: SecretBox,
        *,
        users: Callable[[str], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        self._users = users
        self._database = database
        self._clock = clock
        self._box = box

    async def book(self) -> list[Book]:
        """Every pool, by name."""
        held = await store.secrets(self._database)
        found = []
        for one in await store.pools(self._database):
            own = {server: secret.set_at for (pool, server), secret in held.items() if pool == one.name}
            found.append(Book(one, own, _missing(one.definition, own)))
        return found

    async def find(self, name: str) -> Book:
        """The pool of that name. Raises PoolUnknown."""
        for one in await self.book() if is_pool_name(name) else ():
            if one.stored.name == name:
                return one
        raise _unknown(name)

    async def in_force(self) -> InForce:
        """Pools and secrets, opened. A secret that does not open is missing: its server alone cannot be asked then."""
        pools = await store.pools(self._database)
        opened: dict[tuple[str, str], bytes] = {}
        for (pool, server), one in (await store.secrets(self._database)).items():
            try:
                opened[pool, server] = self._box.open(_bound(pool, server), one.sealed)
            except SealBroken as error:
                log.error("proxy.secret_unreadable", pool=pool, server=server, code=error.code, detail=error.detail)
        return InForce(tuple(one.definition for one in pools), opened, {one.name: one.version for one in pools})

    async def leading_to(self, place: str) -> Sequence[str]:
        """Names of the pools whose users are put into a place."""
        return [one.name for one in await store.pools(self._database) if one.definition.place == place]

    async def preview(
        self, definitions: Sequence[PoolDefinition], *, places: frozenset[str] = frozenset()
    ) -> list[AppliedPool]:
        """What :meth:`apply` would do; nothing is written. Raises PoolInvalid.

        ``places``: that will have been applied by then.
        """
        there = places | {one.name for one in await place_store.places(self._database)}
        for one in definitions:
            if one.place and one.place not in there:
                raise invalid(one.name, "place", f"there is no place {one.place!r}; apply it first")
        present = {one.stored.name: one for one in await self.book()}
        whole([*definitions, *(
            one.stored.definition for name, one in present.items() if name not in {each.name for each in definitions}
        )])  # fmt: skip
        found = []
        for one in definitions:
            known = present.get(one.name)
            change = Applied.of(None if known is None else known.stored.definition, one)
            found.append(AppliedPool(one, change, _missing(one, known.secrets if known is not None else {})))
        return found

    async def apply(
        self, definitions: Sequence[PoolDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedPool]:
        """Bring the pools into the defined form, all or none. Those that are not named stay as they are.

        ``joined`` is committed with it.
        """
        while True:
            planned, at, unit = await self.preview(definitions), self._clock.now(), Unit()
            for one in planned:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    store.create(unit, one.definition, at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(LOCK_POOL, name, refuse=_unknown(name), key=("radius_pool", name))
                    store.update(unit, one.definition, at=at, actor=actor)
                if one.change is not Applied.UNCHANGED:
                    unit.record(_event("proxy.applied", one.definition, actor, change=one.change.value))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return planned

    async def set_secret(self, name: str, server: str, secret: bytes, *, actor: str) -> None:
        """Take the secret that is shared with a server. Raises PoolUnknown, ProxyError (``proxy.secret_invalid``)."""
        definition = (await self.find(name)).stored.definition
        of_udp = [one.address for one in definition.servers if one.transport == "udp"]
        if server not in of_udp:
            known = ", ".join(of_udp) or "none"
            raise ProxyError(SECRET_INVALID, f"{server[:80]!r} is no server over UDP of this pool; there are: {known}")
        secret = secret.strip(b"\r\n")
        if not LEAST_SECRET <= len(secret) <= MOST_SECRET:
            raise ProxyError(SECRET_INVALID, f"a shared secret has {LEAST_SECRET} to {MOST_SECRET} octets")
        unit = Unit().guard(LOCK_POOL, name, refuse=_unknown(name), key=("radius_pool", name))
        sealed = self._box.seal(_bound(name, server), secret)
        store.set_secret(unit, name, server, sealed, at=self._clock.now(), actor=actor)
        unit.record(_event("proxy.secret_changed", definition, actor, server=server))
        await self._database.commit(unit)

    async def remove(self, name: str, *, actor: str) -> None:
        """Forget a pool with its secrets; its realms are decided here again.

        Raises PoolUnknown; ProxyError (``proxy.in_use``) while networks hand on to it.
        """
        definition = (await self.find(name)).stored.definition
        users = await self._users(name) if self._users is not None else ()
        if users:
            raise ProxyError(POOL_IN_USE, f"{', '.join(users[:20])} hand on to the pool {name!r}")
        unit = Unit().guard(LOCK_POOL, name, refuse=_unknown(name), key=("radius_pool", name))
        store.remove(unit, name)
        unit.record(_event("proxy.removed", definition, actor))
        await self._database.commit(unit)


def _missing(definition: PoolDefinition, held: Mapping[str, datetime]) -> tuple[str, ...]:
    return tuple(one.address for one in definition.servers if one.transport == "udp" and one.address not in held)


def _bound(pool: str, server: str) -> str:
    """What a sealed secret is bound to: rows cannot be swapped."""
    return f"{pool}/{server}"


def _unknown(name: str) -> PoolUnknown:
    return PoolUnknown(POOL_UNKNOWN, f"there is no pool {name[:80]!r}", pool=name[:80])


def _event(kind: str, definition: PoolDefinition, actor: str, **more: str) -> Event:
    return Event(
        kind,
        actor,
        (f"proxy:{definition.name}",),
        {"pool": definition.name, "servers": [one.address for one in definition.servers],
         "realms": list(definition.realms), "foreign": definition.foreign, **more},
    )  # fmt: skip
