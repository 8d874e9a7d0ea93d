"""Access servers, turned into views, and as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from troth.access.model import Principal
from troth.kit.canonical import Json
from troth.radius.nas.definition import parse_nas
from troth.radius.nas.desk import AppliedNas, Entry, NasDesk
from troth.radius.nas.seen_store import Sighting
from troth.store.unit import Unit
from troth.web.nas_views import NasAddressView, NasView
from troth.web.network import Planned
from troth.web.views import Change


class NasDocument:
    """``nas:`` as a document (:class:`troth.web.network.NetworkDocument`)."""

    def __init__(self, desk: NasDesk) -> None:
        self._desk = desk

    def names(self, text: str) -> frozenset[str]:
        return frozenset(one.name for one in parse_nas(text))

    async def plan(self, text: str, coming: Mapping[str, frozenset[str]]) -> Planned:
        planned = await self._desk.preview(parse_nas(text))
        present = {one.stored.name: one.stored.definition for one in await self._desk.book()}
        state: Json = {one.definition.name: msgspec.to_builtins(present.get(one.definition.name)) for one in planned}
        return Planned(tuple(map(_change, planned)), tuple(map(_line, planned)), state)

    async def apply(self, text: str, *, actor: str, joined: Unit | None = None) -> Sequence[Change]:
        return [_change(one) for one in await self._desk.apply(parse_nas(text), actor=actor, joined=joined)]


class AccessServers:
    """Looking at access servers, and what may be done with one."""

    def __init__(self, desk: NasDesk) -> None:
        self._desk = desk

    async def list(self) -> Sequence[NasView]:
        """By name."""
        return [_view(one) for one in await self._desk.book()]

    async def get(self, name: str) -> NasView:
        """One of them. Raises NasUnknown."""
        return _view(await self._desk.entry(name))

    async def addresses(self, name: str) -> Sequence[NasAddressView]:
        """What was seen of its addresses, the latest first. Raises NasUnknown."""
        await self._desk.entry(name)
        return [_address(one) for one in await self._desk.addresses(name)]

    async def bring(self, name: str, secret: str, by: Principal, *, how: str, coa: bool) -> None:
        """Take a secret that somebody brings. Raises NasError."""
        value = secret.encode()
        if how == "rotate":
            await self._desk.rotate(name, actor=by.actor, secret=value)
        else:
            await self._desk.set_secret(name, actor=by.actor, secret=value, coa=coa)

    async def finish(self, name: str, by: Principal, *, force: bool) -> None:
        """The next secret becomes the present one. Raises NasError."""
        await self._desk.finish(name, actor=by.actor, force=force)

    async def abandon(self, name: str, by: Principal) -> None:
        """Forget the next secret. Raises NasError."""
        await self._desk.abandon(name, actor=by.actor)

    async def retire(self, name: str, reason: str, by: Principal) -> None:
        """Answer it no longer. Raises NasUnknown."""
        await self._desk.retire(name, reason=reason, actor=by.actor)

    async def remove(self, name: str, by: Principal) -> None:
        """Forget it. Raises NasUnknown."""
        await self._desk.remove(name, actor=by.actor)


def _change(one: AppliedNas) -> Change:
    name = one.definition.name
    detail = f"it has no secret yet: troth nas secret {name}" if one.lacks else ""
    return Change("nas", name, one.change.value, detail)


def _line(one: AppliedNas) -> str:
    definition = one.definition
    loose = []
    if definition.require_message_authenticator != "yes":
        loose.append(f"Message-Authenticator required: {definition.require_message_authenticator}")
    if not definition.limit_proxy_state:
        loose.append("Proxy-State without Message-Authenticator is let pass")
    if definition.coa.unsigned_answers:
        loose.append("answers to CoA and Disconnect are believed without Message-Authenticator")
    where = ", ".join(definition.addresses) or "TLS alone"
    return f"access server {definition.name}: {one.change.value}; {definition.vendor} at {where}" + "".join(
        f"; {line}" for line in loose
    )


def _view(one: Entry) -> NasView:
    stored, definition, seen = one.stored, one.stored.definition, one.seen
    return NasView(
        name=stored.name, description=definition.description, vendor=definition.vendor, site=definition.site,
        addresses=definition.addresses, state=_state(one),
        require_message_authenticator=definition.require_message_authenticator, signs_since=stored.signs_since,
        limit_proxy_state=definition.limit_proxy_state, coa=definition.coa.enabled,
        coa_unsigned=definition.coa.enabled and definition.coa.unsigned_answers,
        radsec=definition.radsec.names if definition.radsec is not None else (), secrets=dict(one.secrets),
        rotating_since=stored.rotating_since, seen=seen.addresses, proved=seen.proved, moved=seen.moved,
        last_at=seen.last_at, unsigned=seen.unsigned, unsigned_at=seen.unsigned_at, wrong=seen.wrong,
        wrong_at=seen.wrong_at, warnings=() if stored.retired_at else tuple(_warnings(one)), reason=stored.reason,
        definition=msgspec.to_builtins(definition), version=stored.version, applied_at=stored.applied_at,
        applied_by=stored.actor,
    )  # fmt: skip


def _state(one: Entry) -> str:
    if one.stored.retired_at is not None:
        return "retired"
    if one.lacks:
        return "incomplete"
    if "next" in one.secrets:
        return "rotating"
    return "asking" if one.seen.proved else "silent"


def _warnings(one: Entry) -> list[str]:
    definition, seen = one.stored.definition, one.seen
    found = []
    if seen.unsigned:
        found.append(
            f"{_number(seen.unsigned)} sent requests without Message-Authenticator within a week: replies to such can "
            "be forged (CVE-2024-3596); update the equipment, or switch it on there"
        )
    elif definition.require_message_authenticator == "no":
        found.append("Message-Authenticator is not required of it, and nothing of it was seen to lack one: require it")
    if definition.coa.enabled and definition.coa.unsigned_answers:
        found.append(
            "its answers to CoA and Disconnect are believed without Message-Authenticator: who forges one has Troth "
            "think that a session has ended (CVE-2024-3596)"
        )
    if seen.wrong:
        found.append(
            f"{_number(seen.wrong)} sent requests that its secret does not prove: it has another secret, or somebody "
            "forges requests"
        )
    if "next" in one.secrets:
        found.append(f"{seen.moved} of {_number(seen.proved)} seen with the new secret")
    return found


def _number(addresses: int) -> str:
    return f"{addresses} address{'' if addresses == 1 else 'es'}"


def _address(one: Sighting) -> NasAddressView:
    used = "next" if one.moved else "current" if one.current_at is not None else ""
    return NasAddressView(
        address=one.address, last_at=one.last_at, secret=used, unsigned=one.unsigned, unsigned_at=one.unsigned_at,
        wrong=one.wrong, wrong_at=one.wrong_at,
    )  # fmt: skip
