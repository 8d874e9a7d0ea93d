"""Acts on one feed: a new secret, and letting it act again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.trust.feeds.desk import OVERLAP, FeedDesk


class FeedSecret:
    """``feed.secret``: a new webhook secret. Payload: ``feed``, ``leaked``."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = True

    def __init__(self, desk: FeedDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        feed = await self._desk.feed(text(payload, "feed"))
        line = "The former secret stops at once." if payload.get("leaked") else "The former one is good for a day."
        state: Json = {"former_until": feed.former_until.isoformat() if feed.former_until else None}
        return Preview(f"Change the secret of the feed {feed.name}", (line,), state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        overlap = timedelta(0) if payload.get("leaked") else OVERLAP
        name = text(payload, "feed")
        return {
            "secret": await self._desk.change_secret(name, actor=order.by.actor, overlap=overlap, joined=order.unit)
        }


class FeedResume:
    """``feed.resume``: let a suspended feed act again. Payload: ``feed``, ``reason``."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = False

    def __init__(self, desk: FeedDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        feed = await self._desk.feed(text(payload, "feed"))
        lines = (f"It may send {', '.join(feed.kinds)}, up to {feed.greatest_effect.value}.",)
        return Preview(f"Let the feed {feed.name} act again", lines, {"suspended": feed.suspended})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        name, reason = text(payload, "feed"), text(payload, "reason", empty=True)
        await self._desk.resume(name, actor=order.by.actor, reason=reason, joined=order.unit)
        return {"feed": name}
