"""Networks and conversations, turned into views; networks as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from troth.access.model import Principal
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import registered_reasons
from troth.radius.admission import conversation_store
from troth.radius.admission.conversation_store import Sought
from troth.radius.admission.conversations import Conversation
from troth.radius.admission.desk import AppliedNetwork, NetworkDesk
from troth.radius.admission.document import NetworkDefinition, parse_networks
from troth.radius.admission.errors import CONVERSATION_UNKNOWN, NetworkError
from troth.radius.admission.network_store import Stored, StoredCrl
from troth.radius.admission.source_store import Source
from troth.radius.wire.addresses import mac
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.web.network import Planned
from troth.web.network_views import ConversationView, CrlSourceView, ForeignCrlView, NetworkView, StepView
from troth.web.views import Change


class NetworksDocument:
    """``networks:`` as a document (:class:`troth.web.network.NetworkDocument`)."""

    def __init__(self, desk: NetworkDesk) -> None:
        self._desk = desk

    def names(self, text: str) -> frozenset[str]:
        return frozenset(one.name for one in parse_networks(text))

    async def plan(self, text: str, coming: Mapping[str, frozenset[str]]) -> Planned:
        planned = await self._desk.preview(parse_networks(text), coming=coming)
        present = {one.name: one.definition for one in await self._desk.list()}
        lines = [line for one in planned for line in _lines(one)]
        state: Json = {one.definition.name: msgspec.to_builtins(present.get(one.definition.name)) for one in planned}
        return Planned(tuple(map(_change, planned)), tuple(lines), state)

    async def apply(self, text: str, *, actor: str, joined: Unit | None = None) -> Sequence[Change]:
        return [_change(one) for one in await self._desk.apply(parse_networks(text), actor=actor, joined=joined)]


class NetworkBook:
    """Looking at networks, and what may be done with one."""

    def __init__(self, desk: NetworkDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def list(self) -> Sequence[NetworkView]:
        """By name."""
        return [_network(one) for one in await self._desk.list()]

    async def get(self, name: str) -> NetworkView:
        """One of them. Raises NetworkUnknown."""
        return _network(await self._desk.find(name))

    async def remove(self, name: str, by: Principal) -> None:
        """Forget it: whoever joins it from then on is refused. Raises NetworkUnknown."""
        await self._desk.remove(name, actor=by.actor)

    async def close_breaker(self, name: str, by: Principal, *, note: str) -> None:
        """The refusals are right: refuse from now on. Raises NetworkUnknown."""
        await self._desk.close_breaker(name, actor=by.actor, note=note)

    async def crls(self) -> Sequence[ForeignCrlView]:
        """Others' revocation lists."""
        now = self._clock.now()
        lists = await self._desk.foreign_lists.all()
        return [_crl(one, in_force=one.this_update <= now < one.next_update) for one in lists]

    async def take_crl(self, anchor: str, der: bytes, issuers: Sequence[bytes], by: Principal) -> ForeignCrlView:
        """Take one. Raises NetworkError."""
        return _crl(await self._desk.foreign_lists.take(anchor, der, issuers, actor=by.actor), in_force=True)

    async def crl_sources(self) -> Sequence[CrlSourceView]:
        """Where they are fetched from, and how that goes."""
        return [_crl_source(one) for one in await self._desk.foreign_lists.sources()]

    async def fetch_crls(self) -> None:
        """Have the worker look at all of them now, rather than when each is due."""
        await self._desk.foreign_lists.hurry()


def _crl_source(one: Source) -> CrlSourceView:
    state = "failing" if one.failures else "well" if one.checked_at is not None else "new"
    return CrlSourceView(
        anchor=one.anchor, url=one.url, origin=one.origin, state=state, error=one.error, failures=one.failures,
        checked_at=one.checked_at, due=one.due,
    )  # fmt: skip


class ConversationBook:
    """What happened when somebody wanted to join."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, sought: Sought, *, before: UUID | None = None, limit: int = 50) -> Sequence[ConversationView]:
        """The newest first; without their timelines."""
        found = await conversation_store.found(self._database, sought, before=before, limit=limit)
        return [_conversation(one, steps=False) for one in found]

    async def get(self, conversation_id: UUID) -> ConversationView:
        """One, with its timeline. Raises NetworkError."""
        found = await conversation_store.one(self._database, conversation_id)
        if found is None:
            raise NetworkError(CONVERSATION_UNKNOWN, f"conversation {conversation_id} is not kept (any more)")
        return _conversation(found, steps=True)


def sought(
    *,
    mac_address: str | None = None,
    user: str | None = None,
    serial: str | None = None,
    correlation: str | None = None,
    network: str | None = None,
    outcome: str | None = None,
    subject: UUID | None = None,
    certificate: UUID | None = None,
) -> Sought:
    """What people look for, in whatever spelling of a MAC address or a serial number."""
    return Sought(
        mac=(mac(mac_address) or mac_address) if mac_address else None,
        user=user or None,
        serial=serial.lower().replace(":", "").removeprefix("0x") if serial else None,
        correlation=correlation or None,
        network=network or None,
        outcome=outcome or None,
        subject=subject,
        certificate=certificate,
    )


def _network(stored: Stored) -> NetworkView:
    one = stored.definition
    stale = one.stale if one.stale == "reject" else f"{one.stale} for {one.stale_for}"
    return NetworkView(
        name=one.name, description=one.description, matches=tuple(_matches(one)), admits=tuple(_admits(one)),
        places={str(outcome): place for outcome, place in one.places.items()}, stale=stale,
        breaker=_breaker(one), definition=msgspec.to_builtins(one), version=stored.version,
        applied_at=stored.applied_at, applied_by=stored.actor,
    )  # fmt: skip


def _breaker(one: NetworkDefinition) -> str:
    rule = one.breaker
    if rule.off:
        return "none"
    calls = ", ".join(rule.notify) if rule.notify else "nobody"
    return f"{rule.share} % (at least {rule.least}) within {rule.window}, for {rule.holds}; calls {calls}"


def _matches(one: NetworkDefinition) -> list[str]:
    match = one.match
    parts = {"SSID": match.ssids, "access server": match.nas, "port": match.port_types, "realm": match.realms}
    return [f"{name} {' or '.join(values)}" for name, values in parts.items() if values]


def _admits(one: NetworkDefinition) -> list[str]:
    said = []
    if one.proxy is not None:
        return [f"handed on to {one.proxy}"]
    if one.authorities:
        said.append(f"{', '.join(one.profiles)} from {', '.join(one.authorities)}")
    if one.foreign is not None:
        unchecked = "" if one.foreign.revocation == "closed" else ", revocation unchecked where no list is in force"
        said.append(f"{one.foreign.meet_as}s with certificates of {', '.join(one.anchors)}{unchecked}")
    said += [
        f"{method} by the policy of {rule.policy}" for method, rule in (("MAB", one.mab), ("PAP", one.pap)) if rule
    ]
    return said


def _change(one: AppliedNetwork) -> Change:
    return Change("network", one.definition.name, one.change.value, one.detail)


def _lines(one: AppliedNetwork) -> list[str]:
    definition = one.definition
    said = "; ".join([*_matches(definition), *_admits(definition)])
    changed = f" ({one.detail})" if one.detail else ""
    return [f"network {definition.name}: {one.change.value}{changed}; {said}"]


def _crl(one: StoredCrl, *, in_force: bool) -> ForeignCrlView:
    return ForeignCrlView(
        anchor=one.anchor, issuer=one.issuer_name, number=str(one.number), this_update=one.this_update,
        next_update=one.next_update, in_force=in_force, entries=one.entries, taken_at=one.taken_at,
        taken_by=one.actor,
    )  # fmt: skip


def _conversation(one: Conversation, *, steps: bool) -> ConversationView:
    known = registered_reasons().get(one.reason)
    marks = [
        name for name, set_ in (("stale", one.stale), ("unchecked", one.unchecked), ("excused", one.excused)) if set_
    ]
    return ConversationView(
        id=one.id, at=one.at, network=one.network, nas=one.nas, nas_address=one.nas_address, method=one.method,
        outcome=one.outcome, reason=one.reason, summary=known.summary if known else "", fix=known.fix if known else "",
        detail=one.detail, mac=one.mac, ssid=one.ssid, port_type=one.port_type, port=one.port, identity=one.identity,
        user_name=one.user_name, serial=one.serial, sha256=one.sha256, certificate_id=one.certificate_id,
        subjects=one.subjects, decisions=one.decisions, tls=one.tls, resumed=one.resumed, place=one.place,
        session_seconds=one.session_seconds, correlation=one.correlation, marks=tuple(marks),
        steps=tuple(StepView(at=step.at, said=step.said) for step in one.steps) if steps else (),
    )  # fmt: skip
