"""Configuration as documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from troth.access.errors import Forbidden
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.connect.definition import parse_connectors
from troth.connect.desk import ConnectorDesk
from troth.connect.ssf.definitions import parse_streams
from troth.connect.ssf.streams import StreamDesk
from troth.connect.ssf.transmitter.definitions import parse_receivers
from troth.connect.ssf.transmitter.desk import ReceiverDesk
from troth.kit.clock import Clock
from troth.pki.catalogue import Catalogue
from troth.pki.profile import parse_profile
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService
from troth.trust.authoring.trial import Trials
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.reevaluation import Reevaluation
from troth.trust.errors import PolicyError
from troth.trust.feeds.desk import OVERLAP, FeedDesk
from troth.trust.feeds.health import FeedHealthBook
from troth.trust.feeds.model import Feed, parse_feeds
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.outbox.desk import EffectDesk
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import PolicyVersion
from troth.trust.standings.service import RulesPlan, RulesService
from troth.trust.subjects.directory_plan import Directory
from troth.trust.wording import span
from troth.web import network
from troth.web.books.store import BookStore
from troth.web.changes import connector_changes, directory_changes, policy_change, reactions_change, receiver_changes
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Applied, Change, FeedView, PolicyView

_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)
_TOP = re.compile(r"^([A-Za-z_]+)\s*:", re.MULTILINE)
#: Each of these is a document of its own.
_LISTS = ("feeds", "connectors", "ssf_streams", "ssf_receivers", "reactions", *network.ACTS)


def kind_of(document: str) -> str:
    """What a YAML document is, by its top-level keys: a policy, feeds, connectors, streams, receivers, reactions, a
    directory, a profile, standing rules, access servers, networks or places.

    Raises WebError for one that is none of them.
    """
    keys = set(_TOP.findall(document))
    several = [name for name in _LISTS if name in keys]
    if len(several) > 1:
        raise WebError(MALFORMED, f"{': and '.join(several)}: are documents of their own: put a line --- between them")
    if "policy" in keys:
        return "policy"
    if "feeds" in keys:
        return "feeds"
    if "connectors" in keys:
        return "connectors"
    if "ssf_streams" in keys:
        return "streams"
    if "ssf_receivers" in keys:
        return "receivers"
    for name in ("reactions", *network.ACTS):
        if name in keys:
            return name
    if keys & {"users", "devices", "workloads"}:
        return "directory"
    if "extended_key_usage" in keys:
        return "profile"
    if "standing" in keys:
        return "standing"
    raise WebError(
        MALFORMED,
        "a document has none of policy:, standing:, feeds:, connectors:, ssf_streams:, ssf_receivers:, reactions:, "
        "users:, devices:, workloads:, nas:, networks:, places:, proxies: or extended_key_usage:",
    )


def documents_in(text: str) -> list[tuple[str, str]]:
    """The YAML documents in ``text`` with their kinds. Raises WebError."""
    parts = [(kind_of(part), part) for part in _SEPARATOR.split(text) if part.strip()]
    if not parts:
        raise WebError(MALFORMED, "there is no document in this")
    return parts


#: When a document's turn comes among those of one file: a network leads to places, access servers and pools, a policy
#: to profiles, a connector to its feed.
_RANK = {"profile": 0, "feeds": 0, "places": 0, "networks": 2}

_NEEDS = {
    "policy": Permission.POLICY_WRITE, "profile": Permission.PROFILE_WRITE, "feeds": Permission.FEED_WRITE,
    "connectors": Permission.FEED_WRITE,
    "streams": Permission.FEED_WRITE,
    "receivers": Permission.FEED_WRITE,
    "reactions": Permission.POLICY_WRITE,
    "standing": Permission.POLICY_WRITE,
    **dict.fromkeys(network.ACTS, Permission.NETWORK_WRITE),
}  # fmt: skip


class Documents:
    """See :class:`troth.web.configuring.Configuration`.

    Every document is checked before any is applied. Each is then applied in a transaction of its own, what
    others lead to first, else in the order of the file; one that another administrator's change overtakes stops there,
    and says so.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        directory: Directory,
        policies: PolicyService,
        desk: FeedDesk,
        catalogue: Catalogue,
        connectors: ConnectorDesk,
        streams: StreamDesk,
        receivers: ReceiverDesk,
        trials: Trials | None = None,
        effects: EffectDesk | None = None,
        documents: Mapping[str, network.NetworkDocument] | None = None,
    ) -> None:
        self._database = database
        self._network = documents or {}
        self._effects = effects
        self._rules = RulesService(database, clock)
        self._anew = Reevaluation(database, clock, Enforcer())
        self._trials = trials
        self._clock = clock
        self._connectors = connectors
        self._streams = streams
        self._receivers = receivers
        self._directory = directory
        self._policies = policies
        self._desk = desk
        self._catalogue = catalogue
        self._books = BookStore(database)
        self._database = database
        self._health = FeedHealthBook(database, clock)

    async def apply(
        self,
        documents: str,
        by: Principal,
        *,
        dry_run: bool,
        prune: bool = False,
        forced: str | None = None,
        accept_loss: bool = False,
    ) -> Applied:
        parts = sorted(documents_in(documents), key=lambda part: _RANK.get(part[0], 1))
        for kind, _ in parts:
            wanted = _NEEDS.get(kind)
            if wanted is not None and not by.may(wanted):
                raise Forbidden(wanted.value)
        coming = self._coming(parts)
        planned = [change for kind, part in parts for change in await self._plan(kind, part, prune, coming)]
        if dry_run:
            notes = await self._notes([part for kind, part in parts if kind == "policy"])
            moves = [line for kind, part in parts if kind == "standing" for line in await self._moves(part)]
            return Applied(tuple(planned), True, (*notes, *moves))
        for kind, part in parts:
            if kind == "policy" and self._trials is not None:
                await self._trials.weighed(await self._policies.plan(part), accept_loss=accept_loss)
        done: list[Change] = []
        for kind, part in parts:
            done += await self._apply(kind, part, by, prune, forced)
        return Applied(tuple(done))

    def _coming(self, parts: Sequence[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
        """What will have been applied by then, for documents that lead to it."""
        found: dict[str, frozenset[str]] = {}
        for kind, part in parts:
            names = frozenset[str]()
            if kind == "feeds":
                names = frozenset(one.name for one in parse_feeds(part))
            elif kind in self._network:
                names = self._network[kind].names(part)
            found[kind] = found.get(kind, frozenset()) | names
        return found

    async def _notes(self, policies: Sequence[str]) -> tuple[str, ...]:
        """What is to be known of policies before they are applied: examples that fail, and whom they would change."""
        notes: list[str] = []
        for text in policies:
            plan = await self._policies.plan(text)
            notes += [f"{plan.policy.name}: example {one.told()}" for one in plan.failed]
            if plan.changes and self._trials is not None:
                report = await self._trials.weighed(plan, accept_loss=True)
                notes += [f"{plan.policy.name}: {line}" for line in report.sentences] if report is not None else []
        return tuple(notes)

    async def _moves(self, text: str) -> list[str]:
        """What a standing document would change, and whom."""
        plan = await self._rules.plan(text)
        if not plan.changes:
            return []
        outlook = await self._anew.outlook(plan.rules)
        moves = [f"{number} would go from {before} to {after}" for (before, after), number in outlook.moves.items()]
        return [f"standing: {line}" for line in (*plan.diff.splitlines(), *sorted(moves))]

    async def _plan(self, kind: str, text: str, prune: bool, coming: Mapping[str, frozenset[str]]) -> list[Change]:
        feeds = coming.get("feeds", frozenset())
        if kind in self._network:
            return list((await self._network[kind].plan(text, coming)).changes)
        if kind == "directory":
            return directory_changes(await self._directory.plan(text, prune=prune))
        if kind == "policy":
            plan = await self._policies.plan(text)
            return [policy_change(plan.policy.name, plan.policy.version, plan.before is None, plan.changes)]
        if kind == "feeds":
            found = await self._desk.preview(parse_feeds(text))
            return [Change("feed", one.feed.name, one.change.value) for one in found]
        if kind == "standing":
            return [_rules_change(await self._rules.plan(text))]
        if kind == "connectors":
            return connector_changes(await self._connectors.preview(parse_connectors(text), coming=feeds))
        if kind == "streams":
            planned = await self._streams.preview(parse_streams(text), coming=feeds)
            return [Change("stream", one.definition.name, one.change.value) for one in planned]
        if kind == "receivers":
            return receiver_changes(await self._receivers.preview(parse_receivers(text)))
        if kind == "reactions" and self._effects is not None:
            return [reactions_change(await self._effects.plan(text))]
        return [self._profile_change(text)]

    async def _apply(self, kind: str, text: str, by: Principal, prune: bool, forced: str | None) -> list[Change]:
        if kind in self._network:
            return list(await self._network[kind].apply(text, actor=by.actor))
        if kind == "directory":
            plan = await self._directory.plan(text, prune=prune)
            await self._directory.apply(plan, actor=by.actor)
            return directory_changes(plan)
        if kind == "policy":
            wanted = await self._policies.plan(text)
            await self._policies.apply(wanted, actor=by.actor, forced=forced)
            return [policy_change(wanted.policy.name, wanted.policy.version, wanted.before is None, wanted.changes)]
        if kind == "feeds":
            applied = await self._desk.apply(parse_feeds(text), actor=by.actor)
            return [Change("feed", one.feed.name, one.change.value, "", one.secret) for one in applied]
        if kind == "standing":
            rules = await self._rules.plan(text)
            if rules.changes:
                await self._rules.apply(rules, actor=by.actor, joined=self._anew.unit(actor=by.actor))
            return [_rules_change(rules)]
        if kind == "connectors":
            return connector_changes(await self._connectors.apply(parse_connectors(text), actor=by.actor))
        if kind == "streams":
            made = await self._streams.apply(parse_streams(text), actor=by.actor)
            return [Change("stream", one.definition.name, one.change.value) for one in made]
        if kind == "receivers":
            return receiver_changes(await self._receivers.apply(parse_receivers(text), actor=by.actor))
        if kind == "reactions" and self._effects is not None:
            reactions = await self._effects.plan(text)
            if reactions.changes:
                await self._database.commit(self._effects.unit(reactions, actor=by.actor))
            return [reactions_change(reactions)]
        change = self._profile_change(text)
        await self._catalogue.apply_profile(text, actor=by.actor)
        return [change]

    def _profile_change(self, text: str) -> Change:
        profile = parse_profile(text)
        present = self._catalogue.profiles.get(profile.name)
        if present is None:
            return Change("profile", profile.name, "created")
        return Change("profile", profile.name, "unchanged" if present.profile.digest == profile.digest else "changed")

    async def policies(self) -> Sequence[PolicyView]:
        return [_policy(version, active=True) for version in await self._policies.in_force()]

    async def policy(self, name: str) -> Sequence[PolicyView]:
        versions = await self._policies.store.history(name)
        return [_policy(version, active=place == 0) for place, version in enumerate(versions)]

    async def feeds(self) -> Sequence[FeedView]:
        since = self._clock.now() - timedelta(hours=24)
        states, views = await self._feed_states(), []
        for feed in await self._desk.feeds():
            last, today, staged = await self._books.feed_activity(feed.name, since)
            state = "suspended" if feed.suspended else "silent" if last is None else "reporting"
            watched = {name: stage for name, stage in feed.rollout.items() if stage < 100}
            views.append(
                FeedView(
                    name=feed.name, state=state, kinds=feed.kinds, scope=_scope(feed),
                    greatest_effect=feed.greatest_effect.value, may_clear=feed.may_clear, cap=_cap(feed),
                    last_signal_at=last, signals_today=today, staged=staged, **states.get(feed.name, {}),
                    rollout=dict(feed.rollout) if watched else {}, suspended_why=feed.suspended_why,
                )
            )  # fmt: skip
        return views

    async def _feed_states(self) -> dict[str, dict[str, Any]]:
        """Feed → how it is: whether it is heard in time, what waits, what names nobody."""
        inbox = {one.feed: one for one in await inbox_store.counts(self._database)}
        unknown = await unresolved_store.counts(self._database)
        found: dict[str, dict[str, Any]] = {}
        for one in await self._health.all():
            name, cadence = one.heard.feed, one.heard.cadence
            counted = inbox.get(name)
            found[name] = {
                "health": one.health.value,
                "health_since": one.since,
                "heard_at": one.heard.heard_at if one.heard.spoke else None,
                "cadence_seconds": None if cadence is None else int(cadence.total_seconds()),
                "waiting": counted.waiting if counted else 0,
                "refused": counted.refused if counted else 0,
                "unresolved": unknown.get(name, (0, 0))[0],
                "strangers": unknown.get(name, (0, 0))[1],
            }
        return found

    async def change_feed_secret(self, name: str, by: Principal, *, leaked: bool) -> str:
        return await self._desk.change_secret(name, actor=by.actor, overlap=timedelta(0) if leaked else OVERLAP)

    async def suspend_feed(self, name: str, by: Principal, *, suspended: bool, reason: str) -> None:
        change = self._desk.suspend if suspended else self._desk.resume
        await change(name, actor=by.actor, reason=reason)


def _rules_change(plan: RulesPlan) -> Change:
    action = "created" if plan.before is None else "changed" if plan.changes else "unchanged"
    return Change("standing", "rules", action, f"version {plan.rules.version}")


def _scope(feed: Feed) -> str:
    kinds = " and ".join(f"{kind}s" for kind in feed.scope.subjects)
    return f"{kinds} in {', '.join(feed.scope.groups)}" if feed.scope.groups else f"all {kinds}"


def _cap(feed: Feed) -> str:
    return (
        f"{feed.cap.percent} % of those or {feed.cap.subjects} subjects in {span(feed.cap.window)}, whichever is more"
    )


def _policy(version: PolicyVersion, *, active: bool) -> PolicyView:
    try:
        parsed = parse_policy(version.source, file=version.name, version=version.version)
        rules, profiles = tuple(rule.name for rule in parsed.rules), parsed.profiles
    except PolicyError:
        # Applied by another Troth with other words: it governs nothing here, and its text is still shown.
        rules, profiles = (), ()
    return PolicyView(
        name=version.name,
        version=version.version,
        sha256=version.sha256,
        applied_at=version.applied_at,
        applied_by=version.actor,
        active=active,
        text=version.source,
        rules=rules,
        profiles=profiles,
    )
