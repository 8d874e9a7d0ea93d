"""Access servers as API and pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct


class NasView(Struct, frozen=True, kw_only=True):
    """An access server, or several of one kind that share a prefix and a secret.

    ``state``: ``retired``, ``incomplete`` (it has no secret), ``rotating``, ``silent`` (nothing was ever proved by its
    secret) or ``asking``. ``moved`` of ``proved`` addresses use the next secret. ``warnings``: what is to be looked at,
    in words. ``definition``: as it was applied.
    """

    name: str
    description: str
    vendor: str
    site: str
    addresses: tuple[str, ...]
    state: str
    require_message_authenticator: str
    signs_since: datetime | None
    limit_proxy_state: bool
    coa: bool
    coa_unsigned: bool
    radsec: tuple[str, ...]
    secrets: dict[str, datetime]
    rotating_since: datetime | None
    seen: int
    proved: int
    moved: int
    last_at: datetime | None
    unsigned: int
    unsigned_at: datetime | None
    wrong: int
    wrong_at: datetime | None
    warnings: tuple[str, ...]
    reason: str
    definition: dict[str, Any]
    version: int
    applied_at: datetime
    applied_by: str


class NasAddressView(Struct, frozen=True, kw_only=True):
    """One address that has asked. ``secret``: the one that it used last, ``current`` or ``next``; empty: none yet.

    ``address``: ``*`` stands for those beyond what is kept apart.
    """

    address: str
    last_at: datetime
    secret: str
    unsigned: int
    unsigned_at: datetime | None
    wrong: int
    wrong_at: datetime | None


class SecretWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret for an access server.

    ``how``: ``set``: it counts from now on, and the former one no longer; ``rotate``: it is good beside the present one
    until the rotation is finished. ``secret``: one that somebody brings; empty: Troth makes one. ``coa``: the one for
    CoA- and Disconnect-Requests, where that is another.
    """

    how: Literal["set", "rotate"] = "set"
    secret: Annotated[str, Meta(max_length=200)] = ""
    coa: bool = False


class SecretMade(Struct, frozen=True):
    """The secret, shown this once; empty for one that was brought."""

    nas: str
    secret: str


class Finishing(Struct, frozen=True, forbid_unknown_fields=True):
    """``force``: also while some address still uses the former secret."""

    force: bool = False
