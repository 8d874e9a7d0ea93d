"""Places, turned into views, and as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from troth.access.model import Principal
from troth.kit.canonical import Json
from troth.radius.places.errors import NotExpressible
from troth.radius.places.ladder import Rung
from troth.radius.places.model import PlaceDefinition, parse_places, place_of
from troth.radius.places.rendering import refuse_if_less, rendered
from troth.radius.places.service import AppliedPlace, Lost, PlaceDesk, lost_on
from troth.radius.places.store import Stored
from troth.radius.places.vendors import Vendor, vendor, vendors
from troth.radius.wire.addresses import safe_text
from troth.radius.wire.dictionary import DICTIONARY, Field
from troth.radius.wire.packet import Code, Packet
from troth.radius.wire.reading import label, shown_value
from troth.store.unit import Unit
from troth.web.network import Planned
from troth.web.place_views import LossView, PlaceView, RenderView, RungView, SentView, VendorView
from troth.web.views import Change

#: RFC 4849.
_NAS_FILTER_RULE = 92


class PlaceDocument:
    """``places:`` as a document (:class:`troth.web.network.NetworkDocument`)."""

    def __init__(self, desk: PlaceDesk) -> None:
        self._desk = desk

    def names(self, text: str) -> frozenset[str]:
        return frozenset(one.name for one in parse_places(text))

    async def plan(self, text: str, coming: Mapping[str, frozenset[str]]) -> Planned:
        planned = await self._desk.preview(parse_places(text))
        present = {one.name: one.definition for one in await self._desk.places()}
        lines = [line for one in planned for line in _lines(one)]
        state: Json = {one.definition.name: msgspec.to_builtins(present.get(one.definition.name)) for one in planned}
        return Planned(tuple(map(_change, planned)), tuple(lines), state)

    async def apply(self, text: str, *, actor: str, joined: Unit | None = None) -> Sequence[Change]:
        applied = await self._desk.apply(parse_places(text), actor=actor, joined=joined)
        return [_change(one) for one in applied]


class Places:
    """Looking at places and vendors, and taking a place off."""

    def __init__(self, desk: PlaceDesk) -> None:
        self._desk = desk

    async def list(self) -> Sequence[PlaceView]:
        """By name."""
        return [await self._view(one) for one in await self._desk.places()]

    async def get(self, name: str) -> PlaceView:
        """One of them. Raises PlaceUnknown."""
        return await self._view(await self._desk.find(name))

    async def render(self, name: str, vendor_name: str, *, wireless: bool | None) -> RenderView:
        """The attributes that put a client there. ``wireless``: None: as the vendor's equipment mostly is.

        Raises PlaceUnknown, VendorUnknown.
        """
        place, known = place_of((await self._desk.find(name)).definition), vendor(vendor_name)
        on_radio = known.medium == "wireless" if wireless is None or known.medium != "both" else wireless
        found = rendered(place, known, wireless=on_radio)
        try:
            refuse_if_less(place, known, found.losses)
            refused, attributes = None, found.attributes
        except NotExpressible as error:
            refused, attributes = error.detail, ()
        packet = Packet(Code.ACCESS_ACCEPT, 0, bytes(16), attributes, b"")
        return RenderView(
            place=name, vendor=known.name, title=known.title, medium="wireless" if on_radio else "wired",
            attributes=tuple(SentView(name=label(one), value=_shown(one)) for one in DICTIONARY.walk(packet)),
            losses=tuple(_loss(Lost(known.name, loss, loss.field in place.essential)) for loss in found.losses),
            refused=refused,
        )  # fmt: skip

    async def matrix(self, name: str) -> Sequence[tuple[VendorView, Sequence[LossView]]]:
        """What each vendor would not be told of a place. Raises PlaceUnknown."""
        place = place_of((await self._desk.find(name)).definition)
        return [(_vendor(vendor(one)), [_loss(lost) for lost in lost_on(place, one)]) for one in vendors()]

    async def remove(self, name: str, by: Principal) -> None:
        """Forget it. Raises PlaceError."""
        await self._desk.remove(name, actor=by.actor)

    def vendors(self) -> Sequence[VendorView]:
        """All vendors, by name."""
        return [_vendor(vendor(one)) for one in vendors()]

    def vendor(self, name: str) -> VendorView:
        """One of them. Raises VendorUnknown."""
        return _vendor(vendor(name))

    async def _view(self, stored: Stored) -> PlaceView:
        definition = stored.definition
        place = place_of(definition)
        return PlaceView(
            name=stored.name, description=definition.description, vlan=str(place.vlan or ""),
            summary=tuple(_summary(definition)), essential=tuple(sorted(place.essential)),
            definition=msgspec.to_builtins(definition),
            losses=tuple(_loss(one) for one in await self._desk.losses(definition)),
            version=stored.version, applied_at=stored.applied_at, applied_by=stored.actor,
        )  # fmt: skip


def _shown(field: Field) -> str:
    """The value in words; access rules, which the dictionary has as octets in parts, as the text that they are."""
    rule = field.vendor == 0 and field.path == (_NAS_FILTER_RULE,)
    return safe_text(field.value) if rule else shown_value(field)


def _change(one: AppliedPlace) -> Change:
    return Change("place", one.definition.name, one.change.value, "; ".join(map(_words, one.lost)))


def _lines(one: AppliedPlace) -> list[str]:
    said = ", ".join(_summary(one.definition)) or "nothing: the equipment's own"
    return [f"place {one.definition.name}: {one.change.value}; {said}", *map(_words, one.lost)]


def _words(lost: Lost) -> str:
    ends = "clients there are rejected" if lost.refused else "left out"
    return f"{lost.vendor}: {lost.loss.field} cannot be said ({lost.loss.why}): {ends}"


def _summary(one: PlaceDefinition) -> list[str]:
    """A place in words, the confining first."""
    rules = len(one.acl_rules)
    parts = {
        "VLAN": one.vlan, "voice VLAN": one.voice_vlan, "role": one.role, "ACL": one.acl,
        "rules": f"{rules}{' to download' if one.downloadable else ''}" if rules else None, "SGT": one.sgt,
        "session": one.session_timeout, "idle": one.idle_timeout, "redirect to": one.redirect_url,
        "kbit/s down": one.bandwidth_down, "kbit/s up": one.bandwidth_up,
    }  # fmt: skip
    return [f"{name} {value}" for name, value in parts.items() if value not in (None, "")]


def _loss(lost: Lost) -> LossView:
    return LossView(
        vendor=lost.vendor, title=vendor(lost.vendor).title, field=lost.loss.field, why=lost.loss.why,
        refused=lost.refused,
    )  # fmt: skip


def _vendor(known: Vendor) -> VendorView:
    ladder = known.ladder
    return VendorView(
        name=known.name, title=known.title, medium=known.medium, says=tuple(sorted(known.accept)),
        steps=tuple(map(_rung, ladder.rungs)), change_vlan=ladder.change_vlan, change_vlan_note=ladder.change_vlan_note,
        caches_flushed_by=tuple(sorted(ladder.caches.flushed_by)), caches_note=ladder.caches.note,
        unconfirmed=known.unconfirmed(), notes=known.notes, sources=dict(known.sources),
    )  # fmt: skip


def _rung(rung: Rung) -> RungView:
    requests = {Code.COA_REQUEST: "CoA-Request", Code.DISCONNECT_REQUEST: "Disconnect-Request"}
    return RungView(
        step=rung.step.value, request=requests[rung.code] if rung.code is not None else "",
        port=rung.port or None, keeps_link=rung.keeps_link, confirmed=rung.code is None or bool(rung.source),
    )  # fmt: skip
