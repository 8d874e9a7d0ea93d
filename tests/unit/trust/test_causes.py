"""Hold causes: a set, and a pure function from it to a standing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from troth.kit.ids import new_id
from troth.trust.signals.causes import Change, HoldCause, cleared, find, raised, standing_of, with_cause
from troth.trust.signals.kinds import KINDS, HardRule
from troth.trust.standing import Standing

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LEVELS = [Standing.RESTRICTED, Standing.QUARANTINED, Standing.DISTRUSTED]


def cause(feed: str = "edr", key: str = "edr", level: Standing = Standing.QUARANTINED, second: int = 0) -> HoldCause:
    at = START + timedelta(seconds=second)
    return HoldCause(feed, key, level, at, at, new_id())


def clear(causes: tuple[HoldCause, ...], feed: str, second: int, key: str = "edr") -> tuple[Change, HoldCause]:
    at = START + timedelta(seconds=second)
    return cleared(causes, feed, key, observed_at=at, at=at, signal_id=new_id())


def test_without_causes_a_subject_is_trusted() -> None:
    assert standing_of(()) is Standing.TRUSTED


def test_the_strictest_open_cause_decides() -> None:
    causes = (cause("mdm", level=Standing.RESTRICTED), cause("edr"))
    assert standing_of(causes) is Standing.QUARANTINED
    _, done = clear(causes, "edr", 5)
    assert standing_of(with_cause(causes, done)) is Standing.RESTRICTED


def test_raising_again_keeps_the_stricter_level() -> None:
    causes = (cause(),)
    assert raised(causes, cause(level=Standing.RESTRICTED, second=1))[0] is Change.KEPT
    change, after = raised(causes, cause(level=Standing.DISTRUSTED, second=1))
    assert (change, after.level) == (Change.STRENGTHENED, Standing.DISTRUSTED)


def test_a_clear_older_than_the_raise_is_late() -> None:
    causes = (cause(second=10),)
    assert clear(causes, "edr", 5) == (Change.LATE, causes[0])


def test_a_clear_that_comes_first_makes_the_older_raise_late_and_the_newer_one_good() -> None:
    change, mark = clear((), "edr", 10)
    assert change is Change.NOT_OPEN
    assert raised((mark,), cause(second=5)) == (Change.LATE, mark)
    assert raised((mark,), cause(second=15))[0] is Change.RAISED


def test_a_cleared_cause_can_be_raised_again() -> None:
    causes = (cause(),)
    _, done = clear(causes, "edr", 5)
    change, again = raised((done,), cause(second=9))
    assert change is Change.RAISED
    assert again.open


Words = st.lists(
    st.tuples(
        st.sampled_from(["edr", "mdm", "person:alice"]),
        st.sampled_from(["a", "b"]),
        st.one_of(st.none(), st.sampled_from(LEVELS)),
    ),
    max_size=30,
)


@given(Words)
def test_in_order_the_standing_is_the_strictest_word_that_its_own_speaker_has_not_taken_back(
    words: list[tuple[str, str, Standing | None]],
) -> None:
    causes: tuple[HoldCause, ...] = ()
    expected: dict[tuple[str, str], Standing] = {}
    for second, (feed, key, level) in enumerate(words):
        if level is None:
            _, changed = clear(causes, feed, second, key)
            expected.pop((feed, key), None)
        else:
            _, changed = raised(causes, cause(feed, key, level, second))
            expected[feed, key] = max(level, expected.get((feed, key), Standing.TRUSTED))
        causes = with_cause(causes, changed)
        assert standing_of(causes) is max(expected.values(), default=Standing.TRUSTED)
        assert {(one.feed, one.key) for one in causes if one.open} == expected.keys()


@given(Words, st.sampled_from(["edr", "mdm"]))
def test_nobody_ever_changes_another_ones_cause(words: list[tuple[str, str, Standing | None]], mine: str) -> None:
    causes: tuple[HoldCause, ...] = (cause("owner", "a", Standing.RESTRICTED),)
    for second, (_, key, level) in enumerate(words, start=1):
        changed = clear(causes, mine, second, key) if level is None else raised(causes, cause(mine, key, level, second))
        causes = with_cause(causes, changed[1])
    kept = find(causes, "owner", "a")
    assert kept is not None
    assert kept.open


@given(st.permutations(range(6)))
def test_whatever_the_order_of_arrival_the_newest_word_wins(order: list[int]) -> None:
    """Even seconds raise, odd ones clear; the newest is a clear, so nothing stays."""
    causes: tuple[HoldCause, ...] = ()
    for second in order:
        changed = raised(causes, cause(second=second)) if second % 2 == 0 else clear(causes, "edr", second)
        causes = with_cause(causes, changed[1])
    assert standing_of(causes) is Standing.TRUSTED


# --- what is weighed -------------------------------------------------------------------------------------------------


def weighed(kind: str, severity: int, second: int, **more: Any) -> HoldCause:
    at = START + timedelta(seconds=second)
    return HoldCause(
        "edr", "k", KINDS[kind].level, at, at, new_id(), kind=kind, severity=severity, confidence=80,
        peak=severity * 80, effective_at=at, **more,
    )  # fmt: skip


def test_a_level_is_superseded_in_either_direction_and_remembers_its_peak() -> None:
    first = weighed("mdm.threat_detected", 80, 0)
    change, milder = raised((first,), weighed("mdm.threat_detected", 20, 5))
    assert (change, milder.severity, milder.peak, milder.raised_at) == (Change.RENEWED, 20, 6_400, first.raised_at)
    change, worse = raised((milder,), weighed("mdm.threat_detected", 95, 6))
    assert (change, worse.severity, worse.peak) == (Change.STRENGTHENED, 95, 7_600)
    assert raised((worse,), weighed("mdm.threat_detected", 10, 3)) == (Change.LATE, worse)
    assert raised((worse,), weighed("mdm.threat_detected", 95, 9))[0] is Change.KEPT


def test_an_event_is_renewed_by_one_that_weighs_as_much_and_not_by_a_lesser_one() -> None:
    first = weighed("edr.alert", 70, 0)
    change, again = raised((first,), weighed("edr.alert", 70, 5))
    assert (change, again.effective_at) == (Change.RENEWED, START + timedelta(seconds=5))
    change, kept = raised((again,), weighed("edr.alert", 30, 9))
    assert (change, kept.severity, kept.effective_at) == (Change.KEPT, 70, again.effective_at)
    assert kept.observed_at == START + timedelta(seconds=9)


def test_a_fact_stands_over_a_weighed_word_of_the_same_cause_whatever_its_severity() -> None:
    change, fact = raised((weighed("edr.intrusion", 100, 0),), weighed("edr.contained", 1, 5))
    assert (change, fact.hard) == (Change.STRENGTHENED, HardRule.CONTAINED)
    assert raised((fact,), weighed("edr.intrusion", 100, 9))[0] is Change.KEPT


def test_what_is_only_watched_neither_weighs_nor_touches_what_does() -> None:
    watched = weighed("edr.intrusion", 90, 0, shadow=True)
    assert standing_of((watched,)) is Standing.TRUSTED
    change, real = raised((watched,), weighed("edr.intrusion", 90, 5))
    assert (change, real.shadow) == (Change.RAISED, False)
    assert raised((real,), weighed("edr.intrusion", 100, 9, shadow=True)) == (
        Change.KEPT, replace(real, observed_at=START + timedelta(seconds=9)),
    )  # fmt: skip


@given(st.permutations(range(5)), st.lists(st.integers(0, 100), min_size=5, max_size=5))
def test_of_levels_of_one_kind_the_newest_word_stands_whatever_the_order_of_arrival(
    order: list[int], severities: list[int]
) -> None:
    causes: tuple[HoldCause, ...] = ()
    for second in order:
        causes = with_cause(causes, raised(causes, weighed("mdm.threat_detected", severities[second], second))[1])
    assert causes[0].severity == severities[4]
    assert causes[0].observed_at == START + timedelta(seconds=4)
