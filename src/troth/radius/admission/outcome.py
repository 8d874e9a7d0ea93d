"""From what was decided to what the access server is told: place in the network, session time, the Accept's names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import reduce

from msgspec.structs import replace

from troth.kit.errors import Reason
from troth.radius.admission.errors import NOWHERE
from troth.radius.admission.model import Network, PlaceChoice, Verdict
from troth.trust.connecting.errors import CERTIFICATE_EXPIRED, CERTIFICATE_SUBJECTLESS
from troth.trust.decision.obligations import shortest, strictest
from troth.trust.model import Decision, Outcome, Ruling, Snapshot, Subject, Truth

#: No session is shorter: who is let in for less is not let in.
_LEAST = timedelta(seconds=60)
#: From which name of a certificate User-Name is taken (RFC 5216, 5.2: the Peer-Id), the first that is there.
_NAMES = ("upn", "email", "dns", "uri", "permanent-identifier", "hardware-module")
#: Octets of an attribute (RFC 2865, 5).
_LONGEST = 253


def refused(reason: Reason, detail: str = "") -> Verdict:
    """A denial that no policy was asked about, and that nothing makes milder."""
    return Verdict(Outcome.DENY, reason.code, detail or reason.summary, hard=True)


def outcome_of(
    network: Network,
    made: Sequence[tuple[Decision, Snapshot]],
    subjects: tuple[Subject, ...],
    at: datetime,
    *,
    ends: datetime | None,
    class_: bytes,
    read_at: float,
) -> Verdict:
    """All decisions as one verdict. ``ends``: the certificate's; ``class_``: random, for accounting."""
    if not made:
        return refused(CERTIFICATE_SUBJECTLESS)
    decisions = [decision for decision, _ in made]
    if len(decisions) == 1:  # as nearly always: there is nothing to join
        deciding = decisions[0]
        own, outcome = deciding.obligations, deciding.outcome
    else:
        deciding = max(decisions, key=lambda one: one.outcome)
        ruling = strictest(*(Ruling(one.outcome, one.obligations) for one in decisions))
        own, outcome = ruling.obligations, ruling.outcome

    def denied(reason: str, detail: str, *, hard: bool) -> Verdict:
        return Verdict(
            Outcome.DENY, reason, detail, decisions=tuple(made), subjects=subjects, say=own.say, read_at=read_at,
            hard=hard,
        )  # fmt: skip

    if outcome is Outcome.DENY:
        distrusted = any(one.standing_floor is Outcome.DENY for one in decisions)
        return denied(deciding.reason, told(deciding), hard=distrusted)
    place = PlaceChoice(own.network or network.place_for(outcome), own.role, own.vlan, own.acl)
    if outcome is not Outcome.ALLOW and not place:
        # Without a place of its own it would be met like anybody else: the port's own VLAN is above its standing.
        return denied(NOWHERE.code, f"neither policy nor network names a place for {outcome.value}", hard=True)
    bound = shortest(own.session_time, own.lifetime)
    bound = reduce(shortest, map(_facts_last, made), bound)
    time = max(shortest(bound, network.longest) or network.longest, network.shortest)
    if ends is not None:
        time = min(time, ends - at)
        if time < _LEAST:
            return denied(CERTIFICATE_EXPIRED.code, "the certificate ends within a minute", hard=True)
    return Verdict(
        outcome, deciding.reason, told(deciding), place=place, class_=class_, decisions=tuple(made),
        session_time=timedelta(seconds=int(time.total_seconds())), subjects=subjects, say=own.say, read_at=read_at,
    )  # fmt: skip


def capped(network: Network, verdict: Verdict, least: Outcome) -> Verdict:
    """``verdict``, no better than ``least``, in the network's place for that."""
    if verdict.outcome >= least:
        return verdict
    name = network.place_for(least)
    if name is None:
        return Verdict(
            Outcome.DENY, NOWHERE.code, f"the network names no place for {least.value}", decisions=verdict.decisions,
            subjects=verdict.subjects, read_at=verdict.read_at, stale=verdict.stale, hard=True,
        )  # fmt: skip
    return replace(verdict, outcome=least, place=PlaceChoice(name))


def _facts_last(made: tuple[Decision, Snapshot]) -> timedelta | None:
    """How long what was seen still is as fresh as the conditions ask; then they must be asked again."""
    decision, snapshot = made
    left: timedelta | None = None
    for condition in decision.conditions:
        if not condition.limits or condition.result is not Truth.TRUE:
            continue
        seen = {one.path: one.observed_at for one in condition.seen}
        for path, limit in condition.limits:
            if path in seen:
                left = shortest(left, timedelta(seconds=limit) - (snapshot.at - seen[path]))
    return left


def told(decision: Decision) -> str:
    """Why, in a line: the rule, and the first condition that was not met or not known."""
    if decision.outcome is not decision.ruled:
        return f"{decision.subject.kind.value} {decision.subject.name} is {decision.subject.standing.value}" + (
            f", its owner {decision.keeper.name} is {decision.keeper.standing.value}" if decision.keeper else ""
        )
    rule = f"rule {decision.rule}" if decision.rule else decision.reason
    for one in decision.conditions:
        if one.result is not Truth.TRUE:
            why = f": {'; '.join(f'{cause.path} {cause.detail}'.strip() for cause in one.causes)}" if one.causes else ""
            return f"{rule}: {one.name} is {one.result.value}{why}"
    return rule


def user_name(names: Iterable[tuple[str, str]]) -> str:
    """The canonical identity from a certificate's names, for the Accept's User-Name; empty if none will do.

    The outer identity is nobody's word (RFC 9190, 2.2) and is never used.
    """
    found: dict[str, str] = {}
    for kind, value in names:
        if value.isprintable() and len(value.encode()) <= _LONGEST:
            found.setdefault(kind, value)
    return next((found[kind] for kind in _NAMES if kind in found), "")
