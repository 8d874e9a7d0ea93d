"""Keeping connectors: applying definitions, taking their secrets, pausing and removing them; and opening one to work.

Secrets come in by a way of their own, are sealed at once and never go out again. A definition file is applied in one
unit, so that a mistake in its last line leaves the first line unapplied too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from troth.audit.event import Event
from troth.connect import connector_store
from troth.connect.connector import FORMER, Vendor
from troth.connect.connector_store import LOCK_CONNECTOR, ReadState, Stored
from troth.connect.definition import ConnectorDefinition, invalid, is_connector_name
from troth.connect.errors import (
    CONNECTOR_UNKNOWN,
    SECRET_INVALID,
    ConnectorError,
    ConnectorUnknown,
)
from troth.connect.proof import key_of
from troth.connect.vendors import Made, Workshop, check, vendor_of
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced
from troth.trust.feeds import feed_store

MAX_SECRET: Final = 16_384
#: Bytes of what others prove themselves with.
LEAST_PUSH_SECRET: Final = 16
#: How long the former of two shared secrets stays good.
OVERLAP: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class AppliedConnector:
    """One connector after applying.

    Attributes:
        missing: kinds of secret that it still needs one of, the usual first.
        moved: it speaks with another address, or as somebody else: its secrets are forgotten. Whoever may define
            connectors must not thereby be able to have a kept secret sent to an address of their own.
    """

    definition: ConnectorDefinition
    change: Applied
    missing: tuple[str, ...] = ()
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """A connector with all that is known of it."""

    stored: Stored
    reads: tuple[ReadState, ...]
    secrets: Mapping[str, datetime]
    missing: tuple[str, ...]


class Opener:
    """Opens connectors: definition and unsealed secrets, made into one at work."""

    def __init__(self, database: Database, box: SecretBox, workshop: Workshop) -> None:
        self._database = database
        self._clock = workshop.clock
        self._box = box
        self._workshop = workshop

    async def open(self, stored: Stored) -> Made:
        """The connector at work. Raises ConnectorError, SealBroken."""
        return self._workshop.make(stored.definition, await self.open_secrets(stored))

    async def open_secrets(self, stored: Stored) -> Mapping[str, bytes]:
        """Its secrets by kind, the former ones that are still good among them. Raises SealBroken."""
        sealed, now = await connector_store.sealed_secrets(self._database, stored.name), self._clock.now()
        return {
            kind: self._box.open(_bound(stored.name, kind), one)
            for kind, (one, set_at) in sealed.items()
            if not kind.endswith(FORMER) or now < set_at + OVERLAP
        }

    def group(self, definition: ConnectorDefinition) -> str:
        """Who shares a pace with ``definition``."""
        return self._workshop.group(definition)


class ConnectorDesk:
    """The connectors of this installation."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox, workshop: Workshop) -> None:
        self._database = database
        self._clock = self.clock = clock
        self._box = box
        self._vendors = workshop.vendors
        self.opener = Opener(database, box, workshop)

    async def book(self) -> list[Book]:
        """Every connector with its state, by name."""
        states: dict[str, list[ReadState]] = {}
        for one in await connector_store.reads(self._database):
            states.setdefault(one.connector, []).append(one)
        held = await connector_store.held_secrets(self._database)
        return [
            Book(one, tuple(states.get(one.name, ())), held.get(one.name, {}), self._missing(one.definition, held))
            for one in await connector_store.connectors(self._database)
        ]

    def vendor(self, definition: ConnectorDefinition) -> Vendor | None:
        """The vendor of a definition; None if this Troth does not know it (any more)."""
        return self._vendors.get(definition.vendor)

    async def find(self, name: str) -> Stored:
        """The connector of that name. Raises ConnectorUnknown."""
        found = await connector_store.find(self._database, name) if is_connector_name(name) else None
        if found is None:
            raise _unknown(name)
        return found

    async def preview(
        self, definitions: Sequence[ConnectorDefinition], *, coming: frozenset[str] = frozenset()
    ) -> list[AppliedConnector]:
        """What :meth:`apply` would do; nothing is written. Raises ConnectorInvalid.

        ``coming``: feeds that will have been applied by then.
        """
        present = {one.name: one.definition for one in await connector_store.connectors(self._database)}
        feeds = {feed.name for feed in await feed_store.all_feeds(self._database)}
        held = await connector_store.held_secrets(self._database)
        found = []
        for one in definitions:
            check(one, self._vendors)
            if one.feed not in feeds | coming:
                raise invalid(one, "feed", f"there is no feed {one.feed!r}; apply it first")
            known = present.get(one.name)
            change = Applied.of(known, one)
            moved = known is not None and _speaks_as(known) != _speaks_as(one)
            found.append(AppliedConnector(one, change, self._missing(one, {} if moved else held), moved))
        return found

    async def apply(
        self, definitions: Sequence[ConnectorDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedConnector]:
        """Bring the connectors into the defined form, all or none. Those that are not named stay as they are.

        ``joined`` is committed with it.
        """
        while True:
            planned, at, unit = await self.preview(definitions), self._clock.now(), Unit()
            for one in planned:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    connector_store.create(unit, one.definition, at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(LOCK_CONNECTOR, name, refuse=_unknown(name), key=("connector", name))
                    connector_store.update(unit, one.definition, at=at, actor=actor)
                    if one.moved:
                        connector_store.drop_secrets(unit, name)
                        connector_store.forget_cursors(unit, name)
                if one.change is not Applied.UNCHANGED:
                    unit.record(_event("connector.applied", one.definition, actor, change=one.change.value))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return planned

    async def set_secret(self, name: str, kind: str, secret: bytes, *, actor: str, leaked: bool = False) -> str:
        """Take a secret; an empty ``kind`` means the vendor's usual one. Returns the kind.

        One by which the other side proves itself replaces its former only after a day, so that neither side has to
        change first; at once if that has ``leaked``.

        Raises ConnectorUnknown, ConnectorError (``connector.secret_invalid``).
        """
        stored = await self.find(name)
        vendor = vendor_of(stored.definition, self._vendors)
        kind = kind or next(iter(vendor.secrets), "")
        if kind not in vendor.secrets:
            known = ", ".join(vendor.secrets) or "none"
            raise ConnectorError(SECRET_INVALID, f"{vendor.title} knows no secret {kind[:40]!r}; there are: {known}")
        if kind == "private_key":
            key_of(secret)
        else:
            secret = secret.strip(b"\r\n")
        if not 0 < len(secret) <= MAX_SECRET:
            raise ConnectorError(SECRET_INVALID, f"a secret has 1 to {MAX_SECRET} bytes")
        if kind in vendor.push_secrets and len(secret) < LEAST_PUSH_SECRET:
            # Anybody may try it, at a door that is open to the world.
            raise ConnectorError(SECRET_INVALID, f"{kind} must not be guessed: {LEAST_PUSH_SECRET} bytes at least")
        unit = self._locked(name)
        sealed = self._box.seal(_bound(name, kind), secret)
        at = self._clock.now()
        if kind in vendor.push_secrets:
            former = (await self.opener.open_secrets(stored)).get(kind)
            kept = secret if former is None or leaked else former
            sealed_former = self._box.seal(_bound(name, kind + FORMER), kept)
            connector_store.set_secret(unit, name, kind + FORMER, sealed_former, at=at, actor=actor)
        connector_store.set_secret(unit, name, kind, sealed, at=at, actor=actor)
        unit.record(_event("connector.secret_changed", stored.definition, actor, secret=kind))
        await self._database.commit(unit)
        return kind

    async def pause(self, name: str, *, paused: bool, reason: str, actor: str) -> None:
        """Stop reading and listening, or go on. Nothing that was said is taken back. Raises ConnectorUnknown."""
        stored = await self.find(name)
        unit = self._locked(name)
        connector_store.pause(unit, name, paused, reason)
        verb = "connector.paused" if paused else "connector.resumed"
        unit.record(_event(verb, stored.definition, actor, reason=reason))
        await self._database.commit(unit)

    async def reread(self, name: str, *, actor: str) -> None:
        """Forget how far it was read: everything is read again, and taken once. Raises ConnectorUnknown."""
        stored = await self.find(name)
        unit = self._locked(name)
        connector_store.forget_cursors(unit, name)
        unit.record(_event("connector.reread", stored.definition, actor))
        await self._database.commit(unit)

    async def remove(self, name: str, *, actor: str) -> None:
        """Drop a connector with its secrets. Its feed, and what it has said, stay. Raises ConnectorUnknown."""
        stored = await self.find(name)
        unit = self._locked(name)
        connector_store.remove(unit, name)
        unit.record(_event("connector.removed", stored.definition, actor))
        await self._database.commit(unit)

    def _locked(self, name: str) -> Unit:
        return Unit().guard(LOCK_CONNECTOR, name, refuse=_unknown(name), key=("connector", name))

    def _missing(self, definition: ConnectorDefinition, held: Mapping[str, Mapping[str, datetime]]) -> tuple[str, ...]:
        vendor = self._vendors.get(definition.vendor)
        if vendor is None:
            return ()
        return vendor.missing(definition, frozenset(held.get(definition.name, {})))


def _speaks_as(definition: ConnectorDefinition) -> tuple[str, ...]:
    """With whom a connector speaks, and as whom: what its secrets are for, and its cursors."""
    return definition.vendor, definition.base_url, definition.cloud, definition.tenant, definition.client_id


def _bound(name: str, kind: str) -> str:
    """What a sealed secret is bound to: rows cannot be swapped."""
    return f"{name}/{kind}"


def _unknown(name: str) -> ConnectorUnknown:
    return ConnectorUnknown(CONNECTOR_UNKNOWN, f"there is no connector {name[:80]!r}", connector=name[:80])


def _event(kind: str, definition: ConnectorDefinition, actor: str, **more: str) -> Event:
    return Event(
        kind,
        actor,
        (f"connector:{definition.name}", f"feed:{definition.feed}"),
        {"connector": definition.name, "vendor": definition.vendor, "feed": definition.feed,
         "base_url": definition.base_url, "cloud": definition.cloud, "client_id": definition.client_id, **more},
    )  # fmt: skip
