"""Where a subject stands, as a pure function: worked examples, and what holds of every history."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.signals.kinds import KINDS, HardRule, Shape
from troth.trust.standing import Standing
from troth.trust.standings.assessment import Inputs, Keeps, Quiet, State, Weighed, decode_inputs, encode
from troth.trust.standings.decay import ONE, decayed
from troth.trust.standings.grammar import shipped_rules
from troth.trust.standings.rules import WHOLE, StandingRules
from troth.trust.standings.scoring import alone, assess, noisy_or

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RULES = shipped_rules()
T, R, Q, D = Standing


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def says(kind: str, *, key: str = "", feed: str = "edr", at: float = 0, **fields: object) -> Weighed:
    known = KINDS[kind]
    made = Weighed(
        feed, key or known.cause, kind, known.level, known.severity, known.confidence,
        known.severity * known.confidence, after(at), known.shape, known.hard,
    )  # fmt: skip
    made = msgspec.structs.replace(made, **fields)
    return msgspec.structs.replace(made, peak=max(made.peak, made.severity * made.confidence))


def weigh(*causes: Weighed, at: float = 0, state: State | None = None, rules: StandingRules = RULES, **more: object):  # type: ignore[no-untyped-def]
    ordered = tuple(sorted(causes, key=lambda one: (one.feed, one.key)))
    return assess(Inputs(after(at), ordered, state or State(), **more), rules)  # type: ignore[arg-type]


# --- decay -----------------------------------------------------------------------------------------------------------


def test_half_is_left_after_each_half_life_exactly() -> None:
    assert [decayed(n * 7, 7) for n in range(5)] == [ONE >> n for n in range(5)]
    assert decayed(-5, 7) == ONE
    assert decayed(7 * 200, 7) == 0


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 10**7))
def test_decay_never_rises_with_time_and_is_near_the_true_value(elapsed: int, more: int, half_life: int) -> None:
    left = decayed(elapsed, half_life)
    assert decayed(elapsed + more, half_life) <= left
    true = 2.0 ** -(elapsed / half_life)
    assert abs(left / ONE - true) < 2e-5 * true + 1e-11


# --- adding up -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, WHOLE), max_size=6), st.randoms())
def test_what_adds_up_is_exact_and_the_order_does_not_matter(shares: list[int], rng: random.Random) -> None:
    found = noisy_or(shares)
    true = Fraction(1)
    for share in shares:
        true *= 1 - Fraction(share, WHOLE)
    assert found == int((1 - true) * WHOLE)
    rng.shuffle(shares)
    assert noisy_or(shares) == found


def test_within_a_class_the_worst_counts_and_across_classes_they_add_up() -> None:
    edr = weigh(says("edr.suspicious"), says("edr.suspicious", key="other", feed="edr-2"))
    assert (edr.score, edr.standing) == (400_000, R)
    both = weigh(says("edr.suspicious"), says("mdm.noncompliant", feed="mdm"))
    assert both.score == noisy_or([400_000, 405_000])


def test_a_cause_adds_to_no_standing_beyond_its_own_level() -> None:
    found = weigh(says("edr.suspicious"), says("mdm.noncompliant", feed="mdm"), says("idp.user_at_risk", feed="idp"))
    assert found.score >= RULES.quarantine.up
    assert (found.standing, found.quarantine_score) == (R, 0)
    limited = weigh(says("edr.intrusion", level=R))
    assert limited.standing is R


def test_two_classes_that_each_restrict_may_quarantine_together() -> None:
    alert, risk = says("edr.alert", severity=60), says("idp.risk_event", feed="idp")
    assert (weigh(alert).standing, weigh(risk).standing) == (R, R)
    assert weigh(alert, risk).standing is Q


# --- time ------------------------------------------------------------------------------------------------------------


def follow(*causes: Weighed, rules: StandingRules = RULES, until: float = 30 * 86_400) -> list[tuple[float, Standing]]:
    """(seconds, standing) at each change that time alone brings about, found by going where ``next_at`` says."""
    state, at, told = State(), 0.0, []
    while at <= until:
        found = weigh(*causes, at=at, state=state, rules=rules)
        if not told or told[-1][1] is not found.standing:
            told.append((at, found.standing))
        state = found.state
        if found.next_at is None:
            break
        assert found.next_at > after(at)
        at = (found.next_at - START).total_seconds()
        causes = tuple(one for one in causes if (one.feed, one.key) not in found.ended)
    return told


def test_an_alert_decays_from_quarantine_by_way_of_restricted_to_trust() -> None:
    alert = says("edr.alert", severity=90)
    (_, first), (fell, second), (healed, third) = follow(alert)
    assert (first, second, third) == (Q, R, T)
    # 72 % is below 35 % after 1.04 half-lives of 24 hours, and below 20 % after 1.85.
    assert fell == pytest.approx(24 * 3600 * 1.0407, rel=1e-3)
    assert healed == pytest.approx(24 * 3600 * 1.8481, rel=1e-3)


def test_less_severe_alerts_decay_faster() -> None:
    assert RULES.half_life("edr.alert", 59) == 6 * 3600
    assert RULES.half_life("edr.alert", 60) == 24 * 3600


def test_a_level_holds_until_it_expires() -> None:
    assert [standing for _, standing in follow(says("edr.intrusion"))] == [Q]
    told = follow(says("edr.intrusion", expires_at=after(3600)))
    assert told == [(0, Q), (3600, T)]


def test_next_at_is_the_very_second_of_the_change() -> None:
    causes = (says("edr.alert", severity=90), says("idp.risk_event", feed="idp", at=-300))
    found = weigh(*causes)
    assert found.next_at is not None
    seconds = (found.next_at - START).total_seconds()
    assert weigh(*causes, at=seconds - 1, state=found.state).standing is found.standing
    assert weigh(*causes, at=seconds, state=found.state) != found
    changed = weigh(*causes, at=seconds, state=found.state)
    assert changed.standing < found.standing or changed.ended


# --- hysteresis, dwell, flapping -------------------------------------------------------------------------------------


def test_between_the_thresholds_the_standing_stays_as_it_is() -> None:
    high = weigh(says("edr.alert", severity=90))
    middle = says("edr.alert", severity=50, peak=7_200)
    kept = weigh(middle, at=3600, state=high.state)
    assert (kept.standing, kept.keeps) == (Q, Keeps.HYSTERESIS)
    assert weigh(msgspec.structs.replace(middle, peak=4_000), at=3600).standing is R


def test_a_level_that_improves_is_kept_for_the_dwell_time() -> None:
    high = weigh(says("mdm.threat_detected", feed="mdm"))
    better = says("mdm.threat_detected", feed="mdm", severity=10, peak=6_400)
    assert (weigh(better, at=1_799, state=high.state).standing, weigh(better, at=1_800, state=high.state).standing) == (
        Q, T,
    )  # fmt: skip
    assert weigh(better, at=10, state=high.state).keeps is Keeps.DWELL
    assert weigh(better, at=10, state=high.state).next_at == after(1_800)


def test_what_is_left_never_holds_more_than_it_could_have_brought_about() -> None:
    both = weigh(says("edr.intrusion"), says("mdm.noncompliant", feed="mdm"))
    assert both.standing is Q
    # The intrusion is cleared: what is left restricts, and 40 % is above what leaves quarantine.
    assert weigh(says("mdm.noncompliant", feed="mdm"), at=5, state=both.state).standing is R
    assert weigh(at=5, state=both.state).standing is T


def test_who_flaps_is_not_released_until_it_has_calmed_down() -> None:
    state, at, suppressed_at = State(), 0, None
    for turn in range(5):
        at += 10
        up = weigh(says("edr.intrusion", at=at), at=at, state=state)
        assert up.standing is Q
        at += 10
        down = weigh(at=at, state=up.state)
        state = down.state
        if down.standing is Q:
            suppressed_at = turn
            break
    assert suppressed_at == 3
    assert (down.keeps, down.state.suppressed) == (Keeps.FLAPPING, True)
    assert down.next_at is not None
    calm = (down.next_at - START).total_seconds()
    assert 15 * 60 <= calm - at <= 60 * 60
    released = weigh(at=calm, state=state)
    assert (released.standing, released.state.suppressed) == (T, False)


# --- hard rules, exemptions, silence, proposals ----------------------------------------------------------------------


def test_hard_rules_are_not_weighed_and_take_back_at_once() -> None:
    disabled = weigh(says("idp.user_disabled", feed="idp", severity=1, confidence=1))
    assert (disabled.standing, disabled.hard, disabled.scored) == (Q, Q, T)
    assert weigh(at=1, state=disabled.state).standing is T
    assert weigh(says("mdm.retired", feed="mdm")).standing is D


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_score_distrusts(kind: str) -> None:
    known = KINDS[kind]
    if known.hard is None and known.level is not T:
        assert weigh(says(kind, severity=100, confidence=100, level=D)).standing <= Q


def test_an_exemption_lifts_everything_but_proof_and_orders_and_ends_by_itself() -> None:
    until = after(3600)
    lifted = weigh(says("edr.intrusion"), says("edr.contained"), exempt_until=until)
    assert (lifted.standing, lifted.exempt, lifted.scored, lifted.hard) == (T, True, Q, Q)
    assert lifted.next_at == until
    assert weigh(says("edr.intrusion"), at=3600, state=lifted.state).standing is Q
    stolen = weigh(says("integrity.key_compromised", feed="integrity"), exempt_until=until)
    assert (stolen.standing, stolen.exempt) == (D, False)
    order = msgspec.structs.replace(says("edr.contained", feed="person:ann"), kind="", hard=HardRule.ORDER)
    assert weigh(order, exempt_until=until).standing is Q


def test_while_its_feed_is_silent_nothing_fades_or_lapses() -> None:
    alert = says("edr.alert", severity=90, expires_at=after(7_200))
    quiet = (Quiet("edr", after(60)),)
    state = weigh(alert).state
    held = weigh(alert, at=10 * 86_400, state=state, silent=quiet)
    assert held.standing is Q
    assert held.contributions[0].value == weigh(alert, at=60, state=state).contributions[0].value
    # It speaks again: what had passed counts as if it had not.
    spoke = (Quiet("edr", after(60), after(10 * 86_400)),)
    later = weigh(alert, at=10 * 86_400 + 3_000, state=state, silent=spoke)
    assert later.standing is Q
    assert weigh(alert, at=10 * 86_400 + 7_200, state=state, silent=spoke).standing is T


def test_a_revocation_is_proposed_once_where_classes_agree() -> None:
    causes = (says("edr.intrusion"), says("mdm.threat_detected", feed="mdm"))
    found = weigh(*causes)
    assert (found.standing, found.propose) == (Q, "quorum")
    assert weigh(*causes, at=60, state=found.state).propose is None
    one_class = weigh(says("edr.intrusion", severity=100, confidence=100), says("edr.alert", key="a", severity=100))
    assert (one_class.quarantine_score, one_class.propose) == (WHOLE, None)


def test_a_revocation_is_proposed_where_nothing_heals() -> None:
    found = weigh(says("edr.intrusion"))
    assert found.next_at == after(14 * 86_400)
    late = weigh(says("edr.intrusion"), at=14 * 86_400, state=found.state)
    assert (late.standing, late.propose) == (Q, "unhealed")
    never = replace(RULES, unhealed=0)
    assert weigh(says("edr.intrusion"), at=90 * 86_400, state=found.state, rules=never).propose is None


# --- every history ---------------------------------------------------------------------------------------------------

KIND = st.sampled_from(sorted(name for name, kind in KINDS.items() if kind.level is not T))
SECONDS = st.integers(0, 3 * 86_400)


@st.composite
def words(draw: st.DrawFn) -> Weighed:
    made = says(
        draw(KIND), key=draw(st.sampled_from("abc")), feed=draw(st.sampled_from(["edr", "mdm", "idp"])),
        at=-draw(SECONDS), severity=draw(st.integers(0, 100)), confidence=draw(st.integers(0, 100)),
    )  # fmt: skip
    expires = draw(st.none() | SECONDS)
    return made if expires is None else msgspec.structs.replace(made, expires_at=after(expires))


@st.composite
def states(draw: st.DrawFn) -> State:
    return State(
        scored=draw(st.sampled_from([T, R, Q])), since=after(-draw(SECONDS)), merit=draw(st.integers(0, 8_000)),
        merit_at=after(-draw(SECONDS)), suppressed=draw(st.booleans()), fallen=draw(st.booleans()),
    )  # fmt: skip


HISTORY = st.lists(words(), max_size=6, unique_by=lambda one: (one.feed, one.key))


@given(HISTORY, states(), SECONDS)
def test_the_same_inputs_give_the_same_bytes_also_when_read_back(causes: list[Weighed], state: State, at: int) -> None:
    ordered = tuple(sorted(causes, key=lambda one: (one.feed, one.key)))
    given_ = Inputs(after(at), ordered, state)
    first = assess(given_, RULES)
    assert decode_inputs(encode(given_)) == given_
    assert encode(assess(decode_inputs(encode(given_)), RULES)) == encode(first)


@given(HISTORY, states(), st.data())
def test_a_worse_or_surer_word_never_leads_to_a_better_standing(
    causes: list[Weighed], state: State, data: st.DataObject
) -> None:
    if not causes:
        return
    place = data.draw(st.integers(0, len(causes) - 1))
    one = causes[place]
    severity = data.draw(st.integers(one.severity, 100))
    confidence = data.draw(st.integers(one.confidence, 100))
    worse = msgspec.structs.replace(
        one, severity=severity, confidence=confidence, peak=max(one.peak, severity * confidence)
    )
    others = [*causes[:place], *causes[place + 1 :]]
    before, then = weigh(*causes, state=state), weigh(*others, worse, state=state)
    assert then.standing >= before.standing
    assert then.score >= before.score
    assert weigh(*others, state=State()).standing <= weigh(*causes, state=State()).standing


@given(HISTORY, states(), SECONDS)
def test_with_time_alone_nobody_stands_worse_and_nothing_changes_before_next_at(
    causes: list[Weighed], state: State, later: int
) -> None:
    now = weigh(*causes, state=state)
    then = weigh(*causes, at=later, state=now.state)
    assert then.standing <= now.standing
    if now.next_at is None or after(later) < now.next_at:
        assert (then.standing, then.scored, then.hard) == (now.standing, now.scored, now.hard)


@given(words())
def test_what_one_word_does_alone_is_what_it_does_to_a_subject_without_a_past(word: Weighed) -> None:
    assert alone(word, START, RULES) is weigh(word).standing


def test_the_shipped_numbers_give_each_kind_the_standing_in_the_table() -> None:
    for kind in KINDS.values():
        if kind.level is not T and kind.shape is not Shape.EVENT and kind.name != "edr.score":
            assert weigh(says(kind.name)).standing is kind.level, kind.name
