"""Pools of other servers, and devices without certificates: as a document, and turned into views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from troth.access.model import Principal
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.radius.methods.desk import ListDesk
from troth.radius.methods.lists import Account, Address
from troth.radius.proxy.definition import parse_proxies
from troth.radius.proxy.desk import AppliedPool, Book, PoolDesk
from troth.store.unit import Unit
from troth.web.network import Planned
from troth.web.views import Change
from troth.web.way_views import AccountView, AddressView, MadeAccount, PoolView, ServerView


class ProxyDocument:
    """``proxies:`` as a document (:class:`troth.web.network.NetworkDocument`)."""

    def __init__(self, desk: PoolDesk) -> None:
        self._desk = desk

    def names(self, text: str) -> frozenset[str]:
        return frozenset(one.name for one in parse_proxies(text))

    async def plan(self, text: str, coming: Mapping[str, frozenset[str]]) -> Planned:
        planned = await self._desk.preview(parse_proxies(text), places=coming.get("places", frozenset()))
        present = {one.stored.name: one.stored.definition for one in await self._desk.book()}
        state: Json = {one.definition.name: msgspec.to_builtins(present.get(one.definition.name)) for one in planned}
        return Planned(tuple(map(_change, planned)), tuple(map(_line, planned)), state)

    async def apply(self, text: str, *, actor: str, joined: Unit | None = None) -> Sequence[Change]:
        return [_change(one) for one in await self._desk.apply(parse_proxies(text), actor=actor, joined=joined)]


class Ways:
    """Looking at both, and what may be done with them."""

    def __init__(self, pools: PoolDesk, lists: ListDesk, clock: Clock) -> None:
        self._pools = pools
        self._lists = lists
        self._clock = clock

    async def pools(self) -> Sequence[PoolView]:
        """By name."""
        return [_pool(one) for one in await self._pools.book()]

    async def pool(self, name: str) -> PoolView:
        """One of them. Raises PoolUnknown."""
        return _pool(await self._pools.find(name))

    async def set_secret(self, name: str, server: str, secret: bytes, by: Principal) -> None:
        """Take what is shared with a server. Raises ProxyError."""
        await self._pools.set_secret(name, server, secret, actor=by.actor)

    async def remove_pool(self, name: str, by: Principal) -> None:
        """Forget it. Raises PoolUnknown."""
        await self._pools.remove(name, actor=by.actor)

    async def addresses(self) -> Sequence[AddressView]:
        """By address."""
        return [self._address(one) for one in (await self._lists.lists()).addresses.values()]

    async def add_address(self, address: str, note: str, until: datetime | None, by: Principal) -> AddressView:
        """Put one on the list. Raises MethodError."""
        return self._address(await self._lists.add_address(address, note=note, until=until, actor=by.actor))

    async def remove_address(self, address: str, by: Principal) -> None:
        """Take it off. Raises MethodError."""
        await self._lists.remove_address(address, actor=by.actor)

    async def accounts(self) -> Sequence[AccountView]:
        """By name."""
        return [self._account(one) for one in (await self._lists.lists()).accounts.values()]

    async def add_account(
        self, name: str, note: str, until: datetime | None, by: Principal, *, udp: bool
    ) -> MadeAccount:
        """Make one, or another password for it. Raises MethodError."""
        made, password = await self._lists.add_account(name, udp=udp, note=note, until=until, actor=by.actor)
        return MadeAccount(account=self._account(made), password=password)

    async def remove_account(self, name: str, by: Principal) -> None:
        """Forget it. Raises MethodError."""
        await self._lists.remove_account(name, actor=by.actor)

    def _address(self, one: Address) -> AddressView:
        return AddressView(
            mac=one.mac, note=one.note, until=one.until, ended=self._ended(one.until), added_at=one.added_at,
            added_by=one.actor,
        )  # fmt: skip

    def _account(self, one: Account) -> AccountView:
        return AccountView(
            name=one.name, udp=one.udp, note=one.note, until=one.until, ended=self._ended(one.until),
            added_at=one.added_at, added_by=one.actor,
        )  # fmt: skip

    def _ended(self, until: datetime | None) -> bool:
        return until is not None and until <= self._clock.now()


def _pool(book: Book) -> PoolView:
    definition = book.stored.definition
    return PoolView(
        name=definition.name, realms=definition.realms, foreign=definition.foreign, place=definition.place,
        servers=tuple(
            ServerView(
                address=one.address, transport=one.transport, secret_set_at=book.secrets.get(one.address),
                lacks_secret=one.address in book.missing,
            )
            for one in definition.servers
        ),
        definition=msgspec.to_builtins(definition), version=book.stored.version, applied_at=book.stored.applied_at,
        applied_by=book.stored.actor,
    )  # fmt: skip


def _change(one: AppliedPool) -> Change:
    lacks = ""
    if one.missing:
        lacks = f"lacks secrets: troth proxy secret {one.definition.name} --server {one.missing[0]} --file FILE"
    return Change("proxy", one.definition.name, one.change.value, lacks)


def _line(one: AppliedPool) -> str:
    pool = one.definition
    servers = ", ".join(f"{server.address} ({server.transport})" for server in pool.servers)
    whose = "others' users" if pool.foreign else "our users, with whatever the reply says"
    realms = ", ".join(pool.realms) or "no realm of its own"
    return f"proxy {pool.name}: {one.change.value}; {realms} to {servers}; {whose}"
