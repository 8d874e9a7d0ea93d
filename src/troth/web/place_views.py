"""Places, and what vendors make of them, as API and pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class LossView(Struct, frozen=True, kw_only=True):
    """What a vendor's equipment is not told. ``refused``: it is essential, so clients are rejected there."""

    vendor: str
    title: str
    field: str
    why: str
    refused: bool


class PlaceView(Struct, frozen=True, kw_only=True):
    """A place. ``definition``: as it was applied; ``losses``: on the equipment that there is."""

    name: str
    description: str
    vlan: str
    summary: tuple[str, ...]
    essential: tuple[str, ...]
    definition: dict[str, Any]
    losses: tuple[LossView, ...]
    version: int
    applied_at: datetime
    applied_by: str


class SentView(Struct, frozen=True, kw_only=True):
    """One attribute of an Access-Accept."""

    name: str
    value: str


class RenderView(Struct, frozen=True, kw_only=True):
    """A place as one vendor is told of it. ``refused``: clients there are rejected, and why; then nothing is sent."""

    place: str
    vendor: str
    title: str
    medium: str
    attributes: tuple[SentView, ...]
    losses: tuple[LossView, ...]
    refused: str | None


class RungView(Struct, frozen=True, kw_only=True):
    """A step by which a session is changed or ended. ``confirmed``: by a document of the vendor's."""

    step: str
    request: str
    port: int | None
    keeps_link: bool
    confirmed: bool


class VendorView(Struct, frozen=True, kw_only=True):
    """What is known of a vendor's equipment.

    ``change_vlan``: whether a CoA moves a session to another VLAN; null: not documented. ``unconfirmed``: entries that
    no document of the vendor's confirms.
    """

    name: str
    title: str
    medium: str
    says: tuple[str, ...]
    steps: tuple[RungView, ...]
    change_vlan: bool | None
    change_vlan_note: str
    caches_flushed_by: tuple[str, ...]
    caches_note: str
    unconfirmed: tuple[str, ...]
    notes: tuple[str, ...]
    sources: dict[str, str]
