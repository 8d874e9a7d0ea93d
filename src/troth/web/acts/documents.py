"""Documents as acts: a policy, a profile, feeds, a directory. One document is one act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from troth.access.approvals.acts import text
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.pki.catalogue import Catalogue
from troth.pki.profile import parse_profile
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyPlan, PolicyService
from troth.trust.authoring.trial import Trials
from troth.trust.feeds.desk import FeedDesk
from troth.trust.feeds.model import Feed, parse_feeds
from troth.trust.subjects.directory_plan import Directory
from troth.web.changes import directory_changes, policy_change
from troth.web.views import Change

#: Lines of a diff or a directory that a preview shows; the document itself is shown whole.
_LINES = 200


def told(changes: list[Change]) -> Json:
    """Changes as the outcome of an act."""
    found: Json = msgspec.to_builtins(changes)
    return {"changes": found}


def _lines(changes: list[Change]) -> tuple[str, ...]:
    lines = [f"{one.kind} {one.name}: {one.action}" + (f" ({one.detail})" if one.detail else "") for one in changes]
    return (*lines[:_LINES], *([f"… and {len(lines) - _LINES} more"] if len(lines) > _LINES else []))


class PolicyApply:
    """``policy.apply``: make a policy document the one in force.

    ``forced``: why it is applied though examples of its own fail. ``impact``: whom it would change, as it was weighed
    when the act was asked for; where nobody has weighed it, that is done now, and ``accept_loss`` lets any loss pass.
    """

    permission: ClassVar = Permission.POLICY_WRITE
    secret: ClassVar = False

    def __init__(self, database: Database, policies: PolicyService, trials: Trials | None = None) -> None:
        self._database = database
        self._policies = policies
        self._trials = trials

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._policies.plan(text(payload, "document"))
        lines = [f"Governs the profiles {', '.join(plan.policy.profiles)}.", *_tried(plan, payload)]
        lines += [str(one) for one in payload.get("impact", ())][:_LINES]
        lines += plan.diff.splitlines()[:_LINES]
        if not plan.changes:
            lines = ["It is in force already; nothing changes."]
        before = plan.before.version if plan.before else 0
        return Preview(
            f"Apply policy {plan.policy.name}, version {plan.policy.version}",
            tuple(lines),
            {"policy": plan.policy.name, "version": before},
        )

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._policies.plan(text(payload, "document"))
        unit = order.unit
        if plan.changes:
            if self._trials is not None and "impact" not in payload:
                await self._trials.weighed(plan, accept_loss=payload.get("accept_loss") is True)
            forced = _forced(payload)
            unit = self._policies.unit(plan, actor=order.by.actor, forced=forced).absorb(unit)
        await self._database.commit(unit)
        return told([policy_change(plan.policy.name, plan.policy.version, plan.before is None, plan.changes)])


def _forced(payload: Mapping[str, Any]) -> str | None:
    return text(payload, "forced")[:500] if payload.get("forced") else None


def _tried(plan: PolicyPlan, payload: Mapping[str, Any]) -> list[str]:
    if not plan.tests:
        return ["It has no examples."]
    if not plan.failed:
        return [f"All of its {len(plan.tests)} examples pass."]
    lines = [f"{len(plan.failed)} of its {len(plan.tests)} examples fail: {', '.join(one.name for one in plan.failed)}"]
    forced = _forced(payload)
    return [*lines, f"It is forced: {forced}"] if forced else [*lines, "It will not be applied, for it is not forced."]


class ProfileApply:
    """``profile.apply``: make a certificate profile the one in force."""

    permission: ClassVar = Permission.PROFILE_WRITE
    secret: ClassVar = False

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        profile = parse_profile(text(payload, "document"))
        await self._catalogue.refresh()
        present = self._catalogue.profiles.get(profile.name)
        version = present.version if present else 0
        same = present is not None and present.profile.digest == profile.digest
        line = "It is in force already; nothing changes." if same else f"Replaces version {version}." if version else (
            "A new profile.")  # fmt: skip
        return Preview(f"Apply profile {profile.name}", (line,), {"profile": profile.name, "version": version})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        document = text(payload, "document")
        name = parse_profile(document).name
        before = self._catalogue.profiles.get(name)
        applied = await self._catalogue.apply_profile(document, actor=order.by.actor, joined=order.unit)
        action = "created" if before is None else "unchanged" if before.version == applied.version else "changed"
        return told([Change("profile", name, action)])


class FeedGrant:
    """``feed.grant``: who may tell what, about whom, with how much effect and up to which cap."""

    permission: ClassVar = Permission.FEED_WRITE
    #: A feed that is created gets a secret, which only whoever asked may see.
    secret: ClassVar = True

    def __init__(self, desk: FeedDesk) -> None:
        self._desk = desk

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._desk.preview(parse_feeds(text(payload, "document")))
        present = {feed.name: feed for feed in await self._desk.feeds()}
        lines = [
            f"feed {one.feed.name}: {one.change.value}; {', '.join(one.feed.kinds)} up to "
            f"{one.feed.greatest_effect.value}, cap {one.feed.cap.percent} % or {one.feed.cap.subjects} subjects"
            for one in found
        ]
        names = [one.feed.name for one in found]
        state: Json = {name: _grants(present[name]) if name in present else None for name in names}
        return Preview(f"Grant feed {', '.join(names)}", tuple(lines), state, size=len(found))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        definitions = parse_feeds(text(payload, "document"))
        applied = await self._desk.apply(definitions, actor=order.by.actor, joined=order.unit)
        return told([Change("feed", one.feed.name, one.change.value, "", one.secret) for one in applied])


class DirectoryApply:
    """``directory.apply``: who and what there is."""

    permission: ClassVar = Permission.CONFIGURATION_APPLY
    secret: ClassVar = False

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._directory.plan(text(payload, "document"), prune=bool(payload.get("prune")))
        changes = directory_changes(plan)
        state: Json = {"source": plan.file.source, "version": plan.version}
        return Preview(f"Apply the directory of {plan.file.source}", _lines(changes), state, size=len(changes))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        plan = await self._directory.plan(text(payload, "document"), prune=bool(payload.get("prune")))
        await self._database.commit(self._directory.unit(plan, actor=order.by.actor).absorb(order.unit))
        return told(directory_changes(plan))


def _grants(feed: Feed) -> Json:
    return {
        "kinds": list(feed.kinds),
        "subjects": list(feed.scope.subjects),
        "groups": list(feed.scope.groups),
        "greatest_effect": feed.greatest_effect.value,
        "may_clear": feed.may_clear,
        "cap": [feed.cap.percent, feed.cap.subjects, int(feed.cap.window.total_seconds())],
        "suspended": feed.suspended,
    }
