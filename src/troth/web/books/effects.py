"""Effects, their targets and the reactions that lead to them, as pages, API and command line show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from troth.access.model import Principal
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.trust.outbox import store
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.model import PORTS, Effect, EffectState
from troth.trust.outbox.reactions import Target
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page

_DAY = timedelta(days=1)
#: Where what an alarm is about has its page.
_PAGES = {"network": "/network/networks/", "feed": "/feeds/"}


class EffectView(Struct, frozen=True, kw_only=True):
    """One effect.

    Attributes:
        subject, subject_id: of an alarm, what it is about; ``page`` has it. There are no standings then.
        says: an alarm's title.
        does: what its port does, in words.
        latency_ms: from the signal accepted to its end; None while it has not ended.
        automated: not by a person's order.
    """

    id: UUID
    subject_id: UUID
    subject: str
    subject_kind: str
    port: str
    target: str
    does: str
    before: str
    after: str
    standing_version: int
    state: str
    detail: str
    attempts: int
    automated: bool
    actor: str
    signal_id: UUID
    accepted_at: datetime
    due: datetime
    ended_at: datetime | None
    latency_ms: int | None
    takes_back: str = ""
    page: str
    says: str = ""


class TargetView(Struct, frozen=True, kw_only=True):
    """One target, and how it answers.

    Attributes:
        done, unavailable: of the last day. waiting, dead: all.
        kind: as in the reactions; ``connector``, or ``own`` for ports that have one target.
        state: ``well``, ``failing``, ``open`` (not asked until ``open_until``) or ``unavailable``.
        secret: whether it has one, and since when.
    """

    name: str
    kind: str
    state: str
    waiting: int = 0
    done: int = 0
    dead: int = 0
    unavailable: int = 0
    failures: int = 0
    open_until: datetime | None = None
    last_error: str = ""
    secret_since: datetime | None = None


class LatencyView(Struct, frozen=True):
    """How long a port's effects took in the last day, in milliseconds from the signal accepted."""

    port: str
    number: int
    p50_ms: int
    p99_ms: int


class ReactionsView(Struct, frozen=True):
    """The document in force; version 0 is the shipped one."""

    version: int
    text: str
    applied_at: datetime | None
    applied_by: str


class EffectFilter(Struct, frozen=True, kw_only=True):
    """Which. ``state``: one of an effect's, or none for all."""

    state: str = ""
    target: str = ""
    subject: UUID | None = None
    cursor: str = ""
    limit: int = 50


class EffectBook:
    """Looking at effects, and a person's hand on them."""

    def __init__(self, database: Database, clock: Clock, desk: EffectDesk) -> None:
        self._database = database
        self._clock = clock
        self._desk = desk

    async def search(self, wanted: EffectFilter) -> Page[EffectView]:
        """The newest first. Raises WebError for a cursor that is not ours."""
        before = parse_id(wanted.cursor) if wanted.cursor else None
        if wanted.cursor and before is None:
            raise WebError(MALFORMED, "this cursor is none of ours")
        limit = wanted.limit + 1
        if wanted.subject is not None:
            found = await store.of_subject(self._database, wanted.subject, before=before, limit=limit)
        else:
            states = [EffectState(wanted.state)] if wanted.state else []
            found = await store.listed(self._database, states, target=wanted.target, before=before, limit=limit)
        shown = found[: wanted.limit]
        return Page([view(one) for one in shown], str(shown[-1].id) if len(found) > wanted.limit else None)

    async def get(self, effect_id: UUID) -> EffectView:
        """One effect. Raises EffectUnknown."""
        return view(await self._desk.effect(effect_id))

    async def retry(self, effect_id: UUID, by: Principal, reason: str) -> None:
        """Try what ended without success again. Raises EffectUnknown, EffectNotOpen."""
        await self._desk.retry(effect_id, actor=by.actor, reason=reason)

    async def drop(self, effect_id: UUID, by: Principal, reason: str) -> None:
        """Give it up. Raises EffectUnknown, EffectNotOpen."""
        await self._desk.drop(effect_id, actor=by.actor, reason=reason)

    async def set_secret(self, name: str, secret: str | None, by: Principal) -> str | None:
        """Give a target its secret; what was made is returned this once. Raises TargetUnknown, SecretInvalid."""
        return await self._desk.set_secret(name, secret, actor=by.actor)

    async def targets(self) -> Sequence[TargetView]:
        """Every target that the reactions name or an effect was for, by name."""
        reactions, _ = await self._desk.in_force()
        kinds = {step.target: step.port.kind or "own" for rule in reactions.rules for step in rule.steps}
        kinds |= {name: _kind(target) for name, target in reactions.targets.items()}
        counts: dict[str, dict[str, int]] = {}
        for queue in await self._desk.documents.queues(self._clock.now() - _DAY):
            counts.setdefault(queue.target, {})[queue.state] = queue.number
        states = {one.name: one for one in await self._desk.documents.targets()}
        secrets = await self._desk.documents.secrets()
        found = []
        for name in sorted(kinds.keys() | counts.keys()):
            count, state = counts.get(name, {}), states.get(name)
            is_open = state is not None and state.open_until is not None and state.open_until > self._clock.now()
            failing = state is not None and state.failures > 0
            missing = count.get("unavailable", 0) > 0 and not count.get("done", 0)
            found.append(
                TargetView(
                    name=name, kind=kinds.get(name, "gone"),
                    state="open" if is_open else "failing" if failing else "unavailable" if missing else "well",
                    waiting=count.get("waiting", 0), done=count.get("done", 0), dead=count.get("dead", 0),
                    unavailable=count.get("unavailable", 0), failures=0 if state is None else state.failures,
                    open_until=None if state is None else state.open_until,
                    last_error=state.last_error if state is not None and state.failures else "",
                    secret_since=secrets.get(name),
                )
            )  # fmt: skip
        return found

    async def latencies(self) -> Sequence[LatencyView]:
        """By port, of the last day."""
        return [
            LatencyView(one.port, one.number, round(one.p50 * 1000), round(one.p99 * 1000))
            for one in await self._desk.documents.recent(self._clock.now() - _DAY)
        ]

    async def reactions(self) -> ReactionsView:
        """The document in force."""
        newest = await self._desk.documents.newest()
        _, text = await self._desk.in_force()
        if newest is None:
            return ReactionsView(0, text, None, "")
        return ReactionsView(newest.version, text, newest.applied_at, newest.actor)


def _kind(target: Target) -> str:
    return str(type(target).__struct_config__.tag)


def view(effect: Effect) -> EffectView:
    """An effect as it is shown."""
    notice, port, latency = effect.notice, PORTS.get(effect.port), effect.latency
    return EffectView(
        id=effect.id, subject_id=effect.subject_id, subject=notice.name, subject_kind=notice.kind, port=effect.port,
        target=effect.target, does="" if port is None else port.summary, before=notice.before, after=notice.after,
        standing_version=notice.version, state=effect.state.value, detail=effect.detail, attempts=effect.attempts,
        automated=effect.automated, actor=effect.actor, signal_id=effect.signal_id, accepted_at=effect.accepted_at,
        due=effect.due, ended_at=effect.ended_at,
        latency_ms=None if latency is None else round(latency.total_seconds() * 1000), takes_back=effect.undo,
        page=f"/subjects/{effect.subject_id}" if notice.alarm is None else _PAGES[notice.kind] + notice.name,
        says="" if notice.alarm is None else notice.alarm.title,
    )  # fmt: skip
