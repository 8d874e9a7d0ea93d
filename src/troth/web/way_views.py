"""Pools of other servers and devices without certificates, as API and pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class ServerView(Struct, frozen=True, kw_only=True):
    """One server of a pool. ``secret_set_at``: None: it has none, or needs none (RadSec)."""

    address: str
    transport: str
    secret_set_at: datetime | None
    lacks_secret: bool


class PoolView(Struct, frozen=True, kw_only=True):
    """A pool. ``definition``: as it was applied."""

    name: str
    realms: tuple[str, ...]
    foreign: bool
    place: str
    servers: tuple[ServerView, ...]
    definition: dict[str, Any]
    version: int
    applied_at: datetime
    applied_by: str


class AddressView(Struct, frozen=True, kw_only=True):
    """A device that may join by its address alone."""

    mac: str
    note: str
    until: datetime | None
    ended: bool
    added_at: datetime
    added_by: str


class AccountView(Struct, frozen=True, kw_only=True):
    """Somebody who may join with a password."""

    name: str
    udp: bool
    note: str
    until: datetime | None
    ended: bool
    added_at: datetime
    added_by: str


class MadeAccount(Struct, frozen=True, kw_only=True):
    """An account and its password, which is shown this once and kept nowhere."""

    account: AccountView
    password: str
