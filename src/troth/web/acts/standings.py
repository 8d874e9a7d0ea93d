"""Acts on how standings come about: the rules, how far a feed is in force, who is exempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.acts import identifier, text
from troth.access.approvals.demand import Demand
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.store.unit import Unit
from troth.trust.enforcement.exemptions import Exemptions
from troth.trust.enforcement.reevaluation import Reevaluation
from troth.trust.feeds.desk import FeedDesk
from troth.trust.feeds.model import STAGES
from troth.trust.standings.service import RulesService
from troth.web.acts.documents import told
from troth.web.views import Change

_LINES = 200


class StandingApply:
    """``standing.apply``: make a standing document the one in force, and evaluate everybody anew by it."""

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, rules: RulesService, anew: Reevaluation) -> None:
        self._rules = rules
        self._anew = anew

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._rules.plan(text(payload, "document"))
        lines = list(plan.diff.splitlines()[:_LINES])
        size = 1
        if plan.changes:
            outlook = await self._anew.outlook(plan.rules)
            size = max(1, sum(outlook.moves.values()))
            lines = [
                *(
                    f"{number} go from {before} to {after}."
                    for (before, after), number in sorted(outlook.moves.items())
                ),
                *(lines or ["Nothing else changes."]),
            ]
        else:
            lines = ["It is in force already; nothing changes."]
        before = plan.before.version if plan.before else 0
        return Preview(f"Apply standing rules, version {plan.rules.version}", tuple(lines), {"version": before}, size)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._rules.plan(text(payload, "document"))
        more = self._anew.unit(actor=order.by.actor) if plan.changes else Unit()
        await self._rules.apply(plan, actor=order.by.actor, joined=more.absorb(order.unit))
        action = "created" if plan.before is None else "changed" if plan.changes else "unchanged"
        return told([Change("standing", "rules", action, f"version {plan.rules.version}")])


class FeedRollout:
    """``feed.rollout``: how far a feed's words are in force. Payload: ``feed``, ``kind`` (or ``*``), ``percent``."""

    permission: ClassVar = Permission.FEED_WRITE
    secret: ClassVar = False

    def __init__(self, desk: FeedDesk, anew: Reevaluation) -> None:
        self._desk = desk
        self._anew = anew

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        feed, kind, percent = await self._said(payload)
        known = await self._desk.feed(feed)
        what = "everything it may say" if kind == "*" else kind
        words = f"Only watch {what} of feed {feed}" if percent == 0 else (
            f"Let {what} of feed {feed} be in force for {percent} % of the subjects")  # fmt: skip
        now = ", ".join(f"{name} {stage} %" for name, stage in sorted(known.rollout.items()))
        return Preview(words, (f"Now: {now}.", "Caps hold as ever."), dict(known.rollout))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        feed, kind, percent = await self._said(payload)
        joined = self._anew.unit(actor=order.by.actor).absorb(order.unit)
        done = await self._desk.set_rollout(
            feed, {kind: percent}, actor=order.by.actor, reason=text(payload, "reason", empty=True), joined=joined
        )
        return {"feed": feed, "rollout": dict(done.rollout)}

    async def _said(self, payload: Mapping[str, Any]) -> tuple[str, str, int]:
        percent = payload.get("percent")
        if percent not in STAGES or isinstance(percent, bool):
            raise ApprovalRefused(PAYLOAD_INVALID, "percent is 0 (only watched), 5, 25 or 100")
        feed = await self._desk.feed(text(payload, "feed"))
        kind = text(payload, "kind")
        if kind != "*" and not feed.may_send(kind) and kind not in feed.kinds:
            raise ApprovalRefused(PAYLOAD_INVALID, f"feed {feed.name} may not send {kind[:80]}")
        return feed.name, kind, int(percent)


class ExemptionGrant:
    """``exemption.grant``: automation does not hold a subject for a while. Payload: ``subject``, ``reason``, ``hours``.

    It takes another person whatever the rule says, and whether or not there is one.
    """

    permission: ClassVar = Permission.ENFORCEMENT_FREEZE
    secret: ClassVar = False

    def __init__(self, exemptions: Exemptions) -> None:
        self._exemptions = exemptions

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        hours = _hours(payload)
        found = await self._exemptions.prospect(
            identifier(payload, "subject"), reason=text(payload, "reason"), hours=hours
        )
        name = f"{found.subject.kind.value} {found.subject.name}"
        lines = (
            f"It is {found.subject.standing.value} and would be {found.would_be.value}.",
            "Proof that its key is compromised, a forgery, and a person's order count all the same. Every use is told.",
            f"Because: {text(payload, 'reason')}",
        )
        return Preview(
            f"Exempt {name} from what automation does, for {hours} hours", lines,
            {"standing": found.subject.standing.value}, demand=Demand(1),
        )  # fmt: skip

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        made = await self._exemptions.grant(
            identifier(payload, "subject"), reason=text(payload, "reason"), hours=_hours(payload),
            proposed_by=order.by.actor, approved_by=order.approved_by, joined=order.unit,
        )  # fmt: skip
        return {"exemption": str(made.id), "ends_at": made.ends_at.isoformat()}


def _hours(payload: Mapping[str, Any]) -> int:
    hours = payload.get("hours")
    if not isinstance(hours, int) or isinstance(hours, bool):
        raise ApprovalRefused(PAYLOAD_INVALID, "hours is a whole number")
    return hours
