"""Pools of other RADIUS servers and devices without certificates, over the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of
from troth.web.way_views import AccountView, AddressView, MadeAccount, PoolView

_TAGS = ["Network"]
_Note = Annotated[str, Meta(min_length=1, max_length=300)]


class SharedSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """What is shared with a server (`HOST:PORT`, as in the definition). It is sealed and never shown again."""

    server: Annotated[str, Meta(min_length=3, max_length=300)]
    secret: Annotated[str, Meta(min_length=1, max_length=256)]


class NewAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """A device that may join by its address alone, where a network takes `mab`. ``note``: why."""

    mac: Annotated[str, Meta(min_length=12, max_length=17)]
    note: _Note
    until: datetime | None = None


class NewAccount(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who may join with a password, where a network takes `pap`. ``udp``: also outside RadSec."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    note: _Note
    udp: bool = False
    until: datetime | None = None


@get("/network/proxies", opt=needs(Permission.NETWORK_READ), operation_id="listProxies", tags=_TAGS)
async def list_proxies(request: Req) -> Sequence[PoolView]:
    """Pools of servers that conversations are handed on to."""
    return await services_of(request).ways.pools()


@get("/network/proxies/{name:str}", opt=needs(Permission.NETWORK_READ), operation_id="getProxy", tags=_TAGS)
async def get_proxy(request: Req, name: FromPath[str]) -> PoolView:
    """One pool."""
    return await services_of(request).ways.pool(name)


@post("/network/proxies/{name:str}/secret", opt=needs(Permission.NETWORK_WRITE), operation_id="setProxySecret",
      tags=_TAGS, status_code=204)  # fmt: skip
async def set_secret(request: Req, name: FromPath[str], data: JSONBody[SharedSecret]) -> None:
    """Hand over the secret that is shared with a server over UDP."""
    await services_of(request).ways.set_secret(name, data.server, data.secret.encode(), asker(request))


@delete("/network/proxies/{name:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removeProxy", tags=_TAGS)
async def remove_proxy(request: Req, name: FromPath[str]) -> None:
    """Forget a pool and its secrets: its realms are decided here again."""
    await services_of(request).ways.remove_pool(name, asker(request))


@get("/network/addresses", opt=needs(Permission.NETWORK_READ), operation_id="listAddresses", tags=_TAGS)
async def list_addresses(request: Req) -> Sequence[AddressView]:
    """Devices that may join by their address alone."""
    return await services_of(request).ways.addresses()


@post("/network/addresses", opt=needs(Permission.NETWORK_WRITE), operation_id="addAddress", tags=_TAGS)
async def add_address(request: Req, data: JSONBody[NewAddress]) -> AddressView:
    """Put a device on the list."""
    return await services_of(request).ways.add_address(data.mac, data.note, data.until, asker(request))


@delete("/network/addresses/{mac:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removeAddress", tags=_TAGS)
async def remove_address(request: Req, mac: FromPath[str]) -> None:
    """Take a device off the list."""
    await services_of(request).ways.remove_address(mac, asker(request))


@get("/network/accounts", opt=needs(Permission.NETWORK_READ), operation_id="listNetworkAccounts", tags=_TAGS)
async def list_accounts(request: Req) -> Sequence[AccountView]:
    """Who may join with a password."""
    return await services_of(request).ways.accounts()


@post("/network/accounts", opt=needs(Permission.NETWORK_WRITE), operation_id="addNetworkAccount", tags=_TAGS)
async def add_account(request: Req, data: JSONBody[NewAccount]) -> MadeAccount:
    """Make an account, or another password for it: the answer alone has the password."""
    book = services_of(request).ways
    return await book.add_account(data.name, data.note, data.until, asker(request), udp=data.udp)


@delete("/network/accounts/{name:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removeNetworkAccount",
        tags=_TAGS)  # fmt: skip
async def remove_account(request: Req, name: FromPath[str]) -> None:
    """Forget an account."""
    await services_of(request).ways.remove_account(name, asker(request))


HANDLERS = (
    list_proxies, get_proxy, set_secret, remove_proxy, list_addresses, add_address, remove_address, list_accounts,
    add_account, remove_account,
)  # fmt: skip
