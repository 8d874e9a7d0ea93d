"""Keeping access servers: applying definitions, making and replacing secrets, retiring.

A secret is replaced in three steps, so that no access server has to change at the same moment as Troth: ``rotate``
makes the next one, which is good beside the present one; the equipment is changed, device by device, and what was seen
of it says how far that has come; ``finish`` makes the next one the present one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.radius.nas import seen_store, store
from troth.radius.nas.definition import NasDefinition, held_apart, invalid, is_nas_name
from troth.radius.nas.errors import (
    NAS_NOT_ROTATING,
    NAS_ROTATING,
    NAS_ROTATION_OPEN,
    NAS_SECRET_MISSING,
    NAS_UNKNOWN,
    NasError,
    NasUnknown,
)
from troth.radius.nas.sealing import Kind, new_secret, seal, taken, unseal
from troth.radius.nas.seen_store import Sighting, Summary
from troth.radius.nas.store import LOCK_AT, Stored
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied, Raced

#: What counts as "does not sign" and "wrong secret" in reports.
LATELY: Final = timedelta(days=7)
_ADDRESSES: Final = 500


@dataclass(frozen=True, slots=True)
class AppliedNas:
    """One access server after applying. ``lacks``: it has no secret, so nothing of it is answered over UDP."""

    definition: NasDefinition
    change: Applied
    lacks: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """An access server with all that is known of it. ``secrets``: kind → when it was set."""

    stored: Stored
    secrets: Mapping[str, datetime]
    seen: Summary

    @property
    def lacks(self) -> bool:
        """Whether it needs a secret and has none."""
        radsec = self.stored.definition.radsec
        return "current" not in self.secrets and not (radsec is not None and radsec.only)


class NasDesk:
    """The access servers of this installation.

    Args:
        box: seals their secrets (``secrets/nas.secret``, purpose ``nas``).
        vendors: whose equipment is known; None: any name is taken.
    """

    def __init__(
        self, database: Database, clock: Clock, box: SecretBox, *, vendors: frozenset[str] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._vendors = vendors

    async def book(self) -> list[Entry]:
        """Every access server, by name, the retired ones among them."""
        now = self._clock.now()
        held = await store.held_secrets(self._database)
        seen = await seen_store.summaries(self._database, now=now, lately=LATELY)
        listed = await store.all_nas(self._database)
        return [Entry(one, held.get(one.name, {}), seen.get(one.name, Summary())) for one in listed]

    async def entry(self, name: str) -> Entry:
        """One of them. Raises NasUnknown."""
        found = next((one for one in await self.book() if one.stored.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    async def addresses(self, name: str) -> Sequence[Sighting]:
        """What was seen of each of its addresses within 30 days, the latest first, at most 500."""
        return await seen_store.of(self._database, name, now=self._clock.now(), limit=_ADDRESSES)

    async def preview(self, definitions: Sequence[NasDefinition]) -> list[AppliedNas]:
        """What :meth:`apply` would do; nothing is written. Raises NasInvalid."""
        present = {one.name: one for one in await store.all_nas(self._database)}
        held = await store.held_secrets(self._database)
        coming = {one.name for one in definitions}
        others = [one.definition for one in present.values() if one.retired_at is None and one.name not in coming]
        held_apart([*others, *definitions])
        found = []
        for one in definitions:
            if self._vendors is not None and one.vendor not in self._vendors:
                raise invalid(
                    one, "vendor", f"there is no {one.vendor!r}; there are {', '.join(sorted(self._vendors))}"
                )
            known = present.get(one.name)
            same = known is not None and known.definition == one and known.retired_at is None
            change = Applied.CREATED if known is None else Applied.UNCHANGED if same else Applied.CHANGED
            only = one.radsec is not None and one.radsec.only
            found.append(AppliedNas(one, change, "current" not in held.get(one.name, {}) and not only))
        return found

    async def apply(
        self, definitions: Sequence[NasDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedNas]:
        """Bring the access servers into the defined form, all or none. Those that are not named stay as they are.

        ``joined`` is committed with it. Raises NasInvalid.
        """
        while True:
            planned, at, unit = await self.preview(definitions), self._clock.now(), Unit()
            for one in planned:
                name = one.definition.name
                if one.change is Applied.CREATED:
                    store.create(unit, one.definition, new_id(), at=at, actor=actor, refuse=Raced())
                elif one.change is Applied.CHANGED:
                    unit.guard(store.LOCK_NAS, name, refuse=Raced(), key=("nas", name))
                    store.update(unit, one.definition, at=at, actor=actor)
                if one.change is not Applied.UNCHANGED:
                    unit.record(_event("nas.applied", one.definition, actor, change=one.change.value))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return planned

    async def set_secret(
        self, name: str, *, actor: str, secret: bytes | None = None, coa: bool = False, joined: Unit | None = None
    ) -> bytes:
        """Its secret, from now on and at once: the first one, or one in the place of one that has leaked.

        ``secret``: None: a new one is made. ``coa``: the one for CoA- and Disconnect-Requests, where it has its own.
        Returns the secret, this once. Raises NasUnknown, NasError (``nas.secret``).
        """
        value = new_secret() if secret is None else taken(secret)
        kind: Kind = "coa" if coa else "current"
        while True:
            stored = await self._found(name)
            unit = self._unit(stored)
            self._keep(unit, name, kind, value, actor)
            if kind == "current":
                store.drop_secret(unit, name, "next")
                seen_store.abandoned(unit, name)
            store.rotating(unit, name, stored.rotating_since if coa else None)
            unit.record(_event("nas.secret_set", stored.definition, actor, secret=kind))
            if await self._done(unit, joined):
                return value

    async def rotate(self, name: str, *, actor: str, secret: bytes | None = None, joined: Unit | None = None) -> bytes:
        """Its next secret, which is good beside the present one. Returned this once; None: a new one is made.

        Raises NasUnknown, NasError (``nas.secret``, ``nas.secret_missing``, ``nas.rotating``).
        """
        value = new_secret() if secret is None else taken(secret)
        while True:
            stored = await self._found(name)
            held = (await store.sealed_secrets(self._database, name)).get(name, {})
            if "current" not in held:
                raise NasError(NAS_SECRET_MISSING, nas=name)
            if "next" in held:
                raise NasError(NAS_ROTATING, nas=name)
            unit = self._unit(stored)
            self._keep(unit, name, "next", value, actor)
            store.rotating(unit, name, self._clock.now())
            unit.record(_event("nas.rotation_begun", stored.definition, actor))
            if await self._done(unit, joined):
                return value

    async def finish(self, name: str, *, actor: str, force: bool = False) -> None:
        """The next secret becomes the present one; the former one is good no longer.

        Raises NasUnknown, NasError (``nas.not_rotating``; ``nas.rotation_open`` while an address still uses the former
        one, unless ``force``).
        """
        while True:
            stored = await self._found(name)
            held = (await store.sealed_secrets(self._database, name)).get(name, {})
            if "next" not in held:
                raise NasError(NAS_NOT_ROTATING, nas=name)
            behind = [one for one in await self.addresses(name) if one.current_at is not None and not one.moved]
            if behind and not force:
                shown = ", ".join(one.address for one in behind[:8])
                raise NasError(NAS_ROTATION_OPEN, f"{len(behind)} of its addresses: {shown}", nas=name)
            unit = self._unit(stored)
            self._keep(unit, name, "current", unseal(self._box, name, "next", held["next"]), actor)
            store.drop_secret(unit, name, "next")
            store.rotating(unit, name, None)
            seen_store.promoted(unit, name)
            unit.record(_event("nas.rotation_finished", stored.definition, actor, behind=str(len(behind))))
            if await self._done(unit):
                return

    async def abandon(self, name: str, *, actor: str) -> None:
        """Forget the next secret; the present one stays. Raises NasUnknown, NasError (``nas.not_rotating``)."""
        while True:
            stored = await self._found(name)
            if "next" not in (await store.sealed_secrets(self._database, name)).get(name, {}):
                raise NasError(NAS_NOT_ROTATING, nas=name)
            unit = self._unit(stored)
            store.drop_secret(unit, name, "next")
            store.rotating(unit, name, None)
            seen_store.abandoned(unit, name)
            unit.record(_event("nas.rotation_abandoned", stored.definition, actor))
            if await self._done(unit):
                return

    async def retire(self, name: str, *, reason: str, actor: str) -> None:
        """Answer it no longer, and forget its secrets; what is known of it stays. Raises NasUnknown."""
        while True:
            stored = await self._found(name)
            unit = self._unit(stored)
            store.retire(unit, name, at=self._clock.now(), reason=reason)
            unit.record(_event("nas.retired", stored.definition, actor, reason=reason))
            if await self._done(unit):
                return

    async def remove(self, name: str, *, actor: str) -> None:
        """Forget it altogether. The ledger keeps what was done with it. Raises NasUnknown."""
        while True:
            stored = await self._found(name)
            unit = self._unit(stored)
            store.remove(unit, name)
            unit.record(_event("nas.removed", stored.definition, actor))
            if await self._done(unit):
                return

    async def _found(self, name: str) -> Stored:
        found = await store.find(self._database, name) if is_nas_name(name) else None
        if found is None:
            raise _unknown(name)
        return found

    def _unit(self, stored: Stored) -> Unit:
        """A unit that is refused if the access server is no longer as it was looked at."""
        return Unit().guard(LOCK_AT, stored.name, stored.version, refuse=Raced(), key=("nas", stored.name))

    def _keep(self, unit: Unit, name: str, kind: Kind, secret: bytes, actor: str) -> None:
        store.set_secret(unit, name, kind, seal(self._box, name, kind, secret), at=self._clock.now(), actor=actor)

    async def _done(self, unit: Unit, joined: Unit | None = None) -> bool:
        """Whether it was committed; False: look again."""
        try:
            await self._database.commit(unit if joined is None else unit.absorb(joined))
        except Raced:
            return False
        return True


def _unknown(name: str) -> NasUnknown:
    return NasUnknown(NAS_UNKNOWN, f"there is no access server {name[:80]!r}", nas=name[:80])


def _event(kind: str, definition: NasDefinition, actor: str, **more: str) -> Event:
    return Event(
        kind,
        actor,
        (f"nas:{definition.name}",),
        {"nas": definition.name, "addresses": list(definition.addresses), "vendor": definition.vendor,
         "require_message_authenticator": definition.require_message_authenticator, **more},
    )  # fmt: skip
