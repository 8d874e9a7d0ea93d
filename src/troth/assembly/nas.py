"""Wiring of access servers: who keeps them, and how a process that answers or asks them holds them."""

from __future__ import annotations

from troth.assembly.context import RoleContext
from troth.assembly.layout import Layout
from troth.kit.sealing import SecretBox
from troth.radius.nas.desk import NasDesk
from troth.radius.nas.loading import NasBook
from troth.radius.places.vendors import vendors
from troth.store.pool import Database
from troth.store.unit import Reader


def nas_box(layout: Layout) -> SecretBox:
    """Opens and seals the secrets of access servers, with a key of their own in the data directory."""
    return SecretBox.at(layout.secrets / "nas.secret", purpose="nas")


def nas_desk(context: RoleContext, database: Database) -> NasDesk:
    """Who keeps access servers."""
    return NasDesk(database, context.clock, nas_box(context.layout), vendors=frozenset(vendors()))


def nas_book(layout: Layout, reader: Reader) -> NasBook:
    """The table of access servers of one process, empty until its first ``refresh``."""
    return NasBook(reader, nas_box(layout))
