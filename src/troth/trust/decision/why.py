"""``troth why``: the decision behind a certificate or a subject's present state, and its timeline from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.store.pool import Database
from troth.trust.decision.counterfactual import Counterfactual, counterfactuals
from troth.trust.decision.explain import Explanation, Line, Tone, explain
from troth.trust.errors import DECISION_NOT_FOUND, PolicyError, TrustError
from troth.trust.model import Outcome, Subject
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import Judged, PolicyStore
from troth.trust.wording import show, stamp

#: Details of an event that a sentence may name, in this order.
_TOLD = (
    "name", "from", "to", "before", "after", "outcome", "reason", "rule", "cause", "feed", "level", "source",
    "observed_at", "profile", "status", "serial", "approved_by",
)  # fmt: skip


class Why:
    """Explains from what is stored; it decides nothing and changes nothing."""

    def __init__(self, database: Database) -> None:
        self._policies = PolicyStore(database)
        self._ledger = LedgerStore(database)

    async def decision(self, decision_id: UUID) -> tuple[Judged, Explanation]:
        """A decision, stored and explained. Raises TrustError if there is none."""
        judged = await self._policies.decision(decision_id)
        if judged is None:
            raise TrustError(DECISION_NOT_FOUND, f"there is no decision {decision_id}")
        return judged, explain(judged.decision, await ways_out_of(judged, self._policies))

    async def subject(self, subject: Subject, *, events: int = 20) -> Explanation:
        """Where a subject stands, the last decision about it, and its timeline, the newest first."""
        since = f" since {stamp(subject.standing_since)}" if subject.standing_since is not None else ""
        lines = [
            Line(Tone.TITLE, f"{subject.kind.value.capitalize()} {subject.name} is {subject.standing.value}{since}.")
        ]
        if subject.owner is not None:
            lines.append(Line(Tone.PLAIN, f"It belongs to {subject.owner.kind.value} {subject.owner.name}."))
        if subject.protected:
            lines.append(Line(Tone.PLAIN, "It is protected: automation alarms about it and changes nothing."))
        latest = await self._policies.decisions_of(subject.id, limit=1)
        if latest:
            lines += explain(latest[0].decision, await ways_out_of(latest[0], self._policies)).lines
        else:
            lines.append(Line(Tone.PLAIN, "Nothing was ever decided about it."))
        told = await self.timeline(subject.ref, limit=events)
        if told:
            lines.append(Line(Tone.TITLE, "What happened, the newest first:"))
            lines += told
        return Explanation(tuple(lines))

    async def timeline(self, ref: str, *, limit: int = 50, before: int | None = None) -> Sequence[Line]:
        """The ledger's events about ``ref`` (``subject:<uuid>``, ``certificate:<uuid>``), the newest first."""
        return [tell(event) for event in await self._ledger.about(ref, limit, before=before)]


async def ways_out_of(judged: Judged, policies: PolicyStore) -> tuple[Counterfactual, ...]:
    """What would have to be different, by the policy that decided then. None where that cannot be read any more."""
    decision = judged.decision
    if decision.policy is None or decision.outcome is Outcome.ALLOW:
        return ()
    version = await policies.version(decision.policy, decision.policy_version)
    if version is None or version.sha256 != decision.policy_sha256:
        return ()
    try:
        policy = parse_policy(version.source, file=version.name, version=version.version)
    except PolicyError:
        return ()
    # Several dozen judgings: not in the way of others' requests.
    return await asyncio.to_thread(counterfactuals, policy, judged.snapshot)


def tell(event: StreamEvent) -> Line:
    """One ledger event as a sentence."""
    teller = _TELLERS.get(event.kind)
    what = teller(event.data) if teller is not None else _plainly(event)
    return Line(Tone.EVENT, f"{stamp(event.recorded_at)}  {what} (by {event.actor})", 1, at=event.recorded_at)


def _plainly(event: StreamEvent) -> str:
    noun, _, verb = event.kind.replace("_", " ").rpartition(".")
    details = [f"{name} {_short(event.data[name])}" for name in _TOLD if event.data.get(name) not in (None, "", [])]
    return f"{noun.replace('.', ' ')} {verb}{': ' + ', '.join(details) if details else ''}"


def _short(value: object) -> str:
    return value if isinstance(value, str) else show(value)


def _decision_made(data: Mapping[str, Any]) -> str:
    rule = f"by rule {data['rule']} of policy {data['policy']}" if data.get("rule") else "as no rule matched"
    failed = [name for name, result in data.get("conditions", {}).items() if result != "true" and name != "match"]
    open_ = f"; not met or unknown: {', '.join(failed)}" if failed else ""
    return f"decision at {data['moment']} of {data['profile']}: {data['outcome']}, {rule}{open_}"


def _fact_changed(data: Mapping[str, Any]) -> str:
    earlier = f", before it was {show(data['before'])}" if data.get("before") is not None else ""
    return f"{data['source']} says {data['name']} is {show(data['after'])}{earlier}"


def _fact_reported(data: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} is {show(value)}" for name, value in sorted(data["values"].items()))
    return f"{data['source']} says {said}"


def _subject_created(data: Mapping[str, Any]) -> str:
    return f"{data['kind']} {data['name']} became known through {data['origin']}"


def _subject_changed(data: Mapping[str, Any]) -> str:
    fields = data.get("fields", {})
    told = [f"{name} from {show(pair['before'])} to {show(pair['after'])}" for name, pair in sorted(fields.items())]
    return f"declared differently: {'; '.join(told)}"


def _standing_changed(data: Mapping[str, Any]) -> str:
    return f"standing changed from {data['from']} to {data['to']}"


def _effect_done(data: Mapping[str, Any]) -> str:
    detail = f": {data['detail']}" if data.get("detail") else ""
    return f"{data['port']} at {data['target']} done {data['latency_ms']} ms after the signal was accepted{detail}"


def _effect_dead(data: Mapping[str, Any]) -> str:
    return f"{data['port']} at {data['target']} given up after {data['attempts']} tries: {data['detail']}"


_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "decision.made": _decision_made,
    "fact.changed": _fact_changed,
    "fact.reported": _fact_reported,
    "subject.created": _subject_created,
    "subject.changed": _subject_changed,
    "subject.removed": lambda _data: "removed from the directory",
    "standing.changed": _standing_changed,
    "effects.planned": lambda data: f"to be done: {data['what']}",
    "effect.done": _effect_done,
    "effect.dead": _effect_dead,
    "effect.superseded": lambda data: f"{data['port']} at {data['target']} is needed no more: {data['detail']}",
}
