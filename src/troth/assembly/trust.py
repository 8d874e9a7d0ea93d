"""The trust room's desks in one process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.orders import Orders
from troth.trust.feeds.caps import Cap
from troth.trust.feeds.desk import FeedDesk
from troth.trust.intake.desk import SignalDesk


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Who takes signals, orders and documents."""

    enforcer: Enforcer
    feeds: FeedDesk
    signals: SignalDesk
    orders: Orders
    policies: PolicyService


def trust_of(context: RoleContext, database: Database) -> Trust:
    """The desks, wired by the configuration."""
    settings, clock = context.config.trust, context.clock
    enforcer = Enforcer()
    cap = Cap(settings.cap_percent, settings.cap_subjects, timedelta(seconds=settings.cap_window_seconds))
    box = SecretBox.at(context.layout.secrets / "feeds.secret", purpose="feed")
    return Trust(
        enforcer=enforcer,
        feeds=FeedDesk(database, clock, box, default_cap=cap, new_rollout=settings.new_feeds),
        signals=SignalDesk(database, clock, enforcer),
        orders=Orders(database, clock, enforcer),
        policies=PolicyService(database, clock),
    )
