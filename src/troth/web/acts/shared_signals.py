"""Acts on shared signals: streams and receivers as documents, and saying of everybody what was said of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.connect.ssf.definitions import parse_streams
from troth.connect.ssf.events import TYPES
from troth.connect.ssf.streams import StreamDesk
from troth.connect.ssf.transmitter.definitions import ReceiverDefinition, parse_receivers
from troth.connect.ssf.transmitter.desk import ReceiverDesk
from troth.connect.ssf.wide import WideDesk
from troth.kit.canonical import Json
from troth.kit.ids import parse_id
from troth.web.acts.documents import told
from troth.web.changes import receiver_changes
from troth.web.views import Change


class StreamApply:
    """``ssf.apply``: which streams of shared signals are received, and for which feed each speaks."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = False

    def __init__(self, desk: StreamDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._desk.preview(parse_streams(text(payload, "document")))
        present = {one.name: one.definition for one in await self._desk.streams()}
        lines = [
            f"stream {one.definition.name}: {one.change.value}; {one.definition.issuer} speaks for the feed "
            f"{one.definition.feed}, {one.definition.delivery}"
            for one in found
        ]
        names = [one.definition.name for one in found]
        state: Json = {name: repr(present[name]) if name in present else None for name in names}
        return Preview(f"Receive the streams {', '.join(names)}", tuple(lines), state, size=len(found))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        definitions = parse_streams(text(payload, "document"))
        applied = await self._desk.apply(definitions, actor=order.by.actor, joined=order.unit)
        return told([Change("stream", one.definition.name, one.change.value) for one in applied])


class ReceiverGrant:
    """``ssf.grant``: who is told what of whom. Payload: ``document``."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = False

    def __init__(self, desk: ReceiverDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._desk.preview(parse_receivers(text(payload, "document")))
        present = {one.name: one.definition for one in await self._desk.receivers()}
        lines = [
            f"receiver {one.name}: {change.value}; it may hear {', '.join(TYPES[uri].name for uri in one.events)} of "
            f"{' and '.join(f'{kind}s' for kind in one.scope.subjects)}"
            + (f" in {', '.join(one.scope.groups)}" if one.scope.groups else "")
            + (f", pushed to {', '.join((*one.push_hosts, one.push_url)).strip(', ')}" if _pushed(one) else "")
            for one, change in found
        ]
        names = [one.name for one, _ in found]
        state: Json = {name: repr(present[name]) if name in present else None for name in names}
        return Preview(f"Let {', '.join(names)} hear shared signals", tuple(lines), state, size=len(found))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        definitions = parse_receivers(text(payload, "document"))
        return told(receiver_changes(await self._desk.apply(definitions, actor=order.by.actor, joined=order.unit)))


class WideAct:
    """``ssf.wide``: say of everybody in the feed's scope what an event says of many at once. Payload: ``event``."""

    permission: ClassVar = Permission.STAGED_DECIDE
    secret: ClassVar = False

    def __init__(self, desk: WideDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._desk.reach(_event(payload))
        event = found.event
        lines = (
            f"The stream {event.stream} says {', '.join(kind for kind, _ in event.signals)} of {event.subject}.",
            f"The feed {event.feed} may speak of {found.subjects} subjects ({', '.join(found.kinds) or 'no kind'}).",
            "Beyond the feed's cap, each is staged.",
        )
        return Preview("Act on an event about many at once", lines, {"state": event.state}, size=found.subjects)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        return {"subjects": await self._desk.act(_event(payload), actor=order.by.actor, joined=order.unit)}


def _pushed(one: ReceiverDefinition) -> bool:
    return bool(one.push_hosts or one.push_url)


def _event(payload: Mapping[str, Any]) -> Any:
    found = parse_id(text(payload, "event"))
    if found is None:
        raise ApprovalRefused(PAYLOAD_INVALID, "event is no identifier")
    return found
