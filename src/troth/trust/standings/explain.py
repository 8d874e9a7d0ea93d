"""Why a subject stands where it does, in sentences: what weighs, how it ages, what would change it, when it heals."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from troth.trust.standing import Standing
from troth.trust.standings.assessment import Assessment, Contribution, Keeps
from troth.trust.standings.assessor import Looked
from troth.trust.standings.rules import StandingRules
from troth.trust.wording import span, stamp

_KEEPS: Final = {
    Keeps.HYSTERESIS: "It stays {standing} because its score is above what lets go of that ({down} %).",
    Keeps.DWELL: "It stays {standing} for the dwell time, though its score has fallen.",
    Keeps.FLAPPING: "It has come and gone too often, so it stays {standing} until it has calmed down.",
}


def told_of(looked: Looked) -> tuple[str, ...]:
    """The sentences, the most telling first; none if nothing was ever said of it."""
    outcome, rules = looked.outcome, looked.rules
    if not looked.given.causes and outcome.standing is Standing.TRUSTED and outcome.state.scored is Standing.TRUSTED:
        return ()
    lines = [_score(outcome, rules)]
    lines += [_contribution(one) for one in sorted(outcome.contributions, key=lambda one: -one.value)]
    lines += [
        f"{one.feed} says {one.kind or 'so by order'} ({one.key}): not weighed, {one.level.value} at once."
        for one in looked.given.causes
        if one.hard is not None
    ]
    if outcome.keeps is not None:
        down = rules.quarantine.down if outcome.scored is Standing.QUARANTINED else rules.restrict.down
        lines.append(_KEEPS[outcome.keeps].format(standing=outcome.scored.value, down=_percent(down)))
    if outcome.exempt:
        until = stamp(looked.given.exempt_until) if looked.given.exempt_until is not None else ""
        lines.append(f"It is exempt until {until}: without that it were {max(outcome.hard, outcome.scored).value}.")
    for one in looked.given.silent:
        if one.until is None:
            lines.append(f"Feed {one.feed} is silent since {stamp(one.since)}: its words do not age meanwhile.")
    lines += _ways_out(outcome)
    if outcome.next_at is not None:
        lines.append(f"It is looked at again by itself at {stamp(outcome.next_at)}.")
    return tuple(lines)


def _score(outcome: Assessment, rules: StandingRules) -> str:
    return (
        f"Score {_percent(outcome.score)} %, of it {_percent(outcome.quarantine_score)} % may quarantine; restricted "
        f"from {_percent(rules.restrict.up)} %, quarantined from {_percent(rules.quarantine.up)} % "
        f"(standing rules, version {rules.version})."
    )


def _contribution(one: Contribution) -> str:
    aged = f", {span(timedelta(seconds=one.age))} old" if one.half_life is not None else ""
    fades = (
        f", halved every {span(timedelta(seconds=one.half_life))}; it was {_percent(one.whole)} %"
        if one.half_life is not None
        else ", until it is cleared or superseded"
    )
    lapses = f", lapses at {stamp(one.expires_at)}" if one.expires_at is not None else ""
    most = f", at most {one.level.value}" if one.level is not Standing.DISTRUSTED else ""
    return f"{one.feed} says {one.kind} ({one.key}): {_percent(one.value)} %{aged}{fades}{lapses}{most}."


def _ways_out(outcome: Assessment) -> list[str]:
    if outcome.standing is Standing.TRUSTED:
        return []
    feeds = sorted({one.feed for one in outcome.contributions if one.value})
    if not feeds:
        return []
    return [f"A clear by {' and '.join(feeds)} takes away what that feed says."]


def _percent(millionths: int) -> str:
    whole, rest = divmod(millionths // 1_000, 10)
    return f"{whole}.{rest}" if rest else str(whole)
