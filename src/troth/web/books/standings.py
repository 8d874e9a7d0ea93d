"""Standings: the rules that weigh, who is exempt, what feeds would do, and everybody evaluated anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from troth.access.model import Principal
from troth.audit.store import LedgerStore
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.trust.enforcement import cap_store, shadow_store
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.exemption_store import Exemption
from troth.trust.enforcement.exemptions import Exemptions
from troth.trust.enforcement.reevaluation import Outlook, Reevaluation
from troth.trust.feeds.desk import FeedDesk
from troth.trust.standings.grammar import parse_rules, shipped_text
from troth.trust.standings.rules_store import RulesVersion
from troth.trust.standings.service import RulesService
from troth.trust.subjects.store import SubjectStore


class RulesView(Struct, frozen=True, kw_only=True):
    """One version of the standing document; version 0 is what Troth ships."""

    version: int
    text: str
    active: bool = False
    sha256: str | None = None
    applied_at: datetime | None = None
    applied_by: str | None = None


class MoveView(Struct, frozen=True):
    """How many subjects would go from one standing to another."""

    before: str
    after: str
    subjects: int


class OutlookView(Struct, frozen=True, kw_only=True):
    """What evaluating everybody anew would change; ``examples``: some of the subjects, in words."""

    subjects: int
    moves: tuple[MoveView, ...]
    examples: tuple[str, ...]


class RunView(Struct, frozen=True, kw_only=True):
    """A run that evaluates everybody: under way, or the last one."""

    running: bool
    seen: int
    moved: int
    held_back: int


class ExemptionView(Struct, frozen=True, kw_only=True):
    """A subject that automation does not hold for some hours."""

    id: UUID
    subject_id: UUID
    subject: str
    reason: str
    begins_at: datetime
    ends_at: datetime
    state: str
    proposed_by: str
    approved_by: tuple[str, ...]
    used: int
    ended_by: str | None = None


class ShadowLineView(Struct, frozen=True):
    """For one kind: how many subjects it would have brought to a standing, how often, and when last."""

    kind: str
    standing: str
    subjects: int
    times: int
    latest: datetime


class ShadowView(Struct, frozen=True, kw_only=True):
    """What a feed would have done where it is only watched."""

    feed: str
    since: datetime
    rollout: dict[str, int]
    lines: tuple[ShadowLineView, ...]
    latest: tuple[str, ...]
    busiest: int
    allowed: int


class Standings:
    """What pages, API and commands ask about standings."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer, desk: FeedDesk) -> None:
        self._database = database
        self._clock = clock
        self._desk = desk
        self._subjects = SubjectStore(database)
        self.rules = RulesService(database, clock)
        self.exemptions = Exemptions(database, clock, enforcer)
        self.anew = Reevaluation(database, clock, enforcer)

    async def versions(self) -> Sequence[RulesView]:
        """Every version of the standing document, the newest first; what Troth ships is the last."""
        found = [_rules(one, active=place == 0) for place, one in enumerate(await self.rules.history())]
        return [*found, RulesView(version=0, text=shipped_text(), active=not found)]

    async def outlook(self, text: str | None = None) -> OutlookView:
        """What evaluating everybody anew would change, by the document ``text`` or by the one in force."""
        return _outlook(await self.anew.outlook(None if text is None else parse_rules(text)))

    async def reevaluate(self, by: Principal) -> None:
        """Evaluate everybody anew, in the background."""
        await self.anew.begin(actor=by.actor)

    async def run(self) -> RunView | None:
        """The run under way, or the last one that ended; None if there never was one."""
        now = await self.anew.progress()
        if now is not None:
            return RunView(running=True, **{name: int(now.get(name, 0)) for name in ("seen", "moved", "held_back")})
        events = await LedgerStore(self._database).about("standing:rules", 20)
        last = next((one.data for one in events if one.kind == "standing.reevaluated"), None)
        if last is None:
            return None
        return RunView(running=False, **{name: int(last.get(name, 0)) for name in ("seen", "moved", "held_back")})

    async def exempted(self, *, in_force: bool = True) -> Sequence[ExemptionView]:
        """Exemptions in force, or the last hundred."""
        found = await self.exemptions.listed(in_force=in_force)
        names = {one.id: f"{one.kind.value} {one.name}" for one in await self._subjects.by_ids(
            [each.subject_id for each in found])}  # fmt: skip
        now = self._clock.now()
        return [_exemption(one, names.get(one.subject_id, str(one.subject_id)), now) for one in found]

    async def shadow(self, feed: str, *, days: int = 7) -> ShadowView:
        """What the feed would have done in the last days. Raises FeedUnknown."""
        known = await self._desk.feed(feed)
        since = self._clock.now() - timedelta(days=days)
        lines = await shadow_store.summary(self._database, feed, since)
        window = int(known.cap.window.total_seconds())
        return ShadowView(
            feed=feed,
            since=since,
            rollout=dict(known.rollout),
            lines=tuple(
                ShadowLineView(one.kind, one.standing.value, one.subjects, one.times, one.latest) for one in lines
            ),
            latest=tuple(
                f"{one.at:%Y-%m-%d %H:%M:%S} {one.subject}: {one.before.value} to {one.after.value} by {one.kind}"
                for one in await shadow_store.latest(self._database, feed, since)
            ),
            busiest=await shadow_store.busiest(self._database, feed, since, window),
            allowed=known.cap.allowed(await cap_store.population(self._database, known.scope)),
        )


def _rules(version: RulesVersion, *, active: bool) -> RulesView:
    return RulesView(
        version=version.version, text=version.source, active=active, sha256=version.sha256,
        applied_at=version.applied_at, applied_by=version.actor,
    )  # fmt: skip


def _outlook(found: Outlook) -> OutlookView:
    moves = tuple(MoveView(before, after, number) for (before, after), number in sorted(found.moves.items()))
    examples = tuple(f"{one.subject}: {one.before} to {one.after}" for one in found.samples)
    return OutlookView(subjects=found.subjects, moves=moves, examples=examples)


def _exemption(one: Exemption, subject: str, now: datetime) -> ExemptionView:
    return ExemptionView(
        id=one.id, subject_id=one.subject_id, subject=subject, reason=one.reason, begins_at=one.begins_at,
        ends_at=one.ends_at, state="in force" if one.in_force(now) else "over", proposed_by=one.proposed_by,
        approved_by=one.approved_by, used=one.used, ended_by=one.ended_by,
    )  # fmt: skip
