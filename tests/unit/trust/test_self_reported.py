"""What a host's own agent says may raise, and never clears or grants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.facts import ADVERSE, Observation, newest
from troth.trust.vocabulary import VOCABULARY, Type

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOST = UUID(int=1)


def says(source: str, value: object, *, path: str = "posture.disk_encrypted", age: float = 0) -> Observation:
    return Observation(HOST, path, value, source, NOW - timedelta(seconds=age))  # type: ignore[arg-type]


def test_an_agents_good_word_counts_for_nothing() -> None:
    assert newest([says("agent", True)]) == {}
    assert newest([says("agent:dm-crypt", True)]) == {}
    # Neither alone nor over an older bad word of a manager.
    assert newest([says("mdm", False, age=3600), says("agent", True)])["posture.disk_encrypted"].value is False


def test_an_agents_bad_word_stands_against_a_managers_good_one() -> None:
    assert newest([says("agent", False)])["posture.disk_encrypted"].source == "agent"
    assert newest([says("agent", False, age=3600), says("mdm", True)])["posture.disk_encrypted"].value is False


def test_a_manager_that_is_newer_by_more_than_a_day_is_believed_again() -> None:
    old = says("agent", False, age=90_000)
    assert newest([old, says("mdm", True)])["posture.disk_encrypted"].source == "mdm"


def test_an_agent_takes_back_its_own_bad_word_only() -> None:
    taken_back = [says("agent:a", False, age=10), says("agent:b", True)]
    assert newest(taken_back) == {}
    assert newest([*taken_back, says("mdm", False, age=50)])["posture.disk_encrypted"].source == "mdm"


@pytest.mark.parametrize("path", ["posture.compliant", "posture.updates_pending", "posture.os_version", "risk.score"])
def test_no_other_word_of_an_agent_counts(path: str) -> None:
    for value in (True, False, 0, 100, "x"):
        assert newest([says("agent", value, path=path)]) == {}


def test_what_counts_is_known_and_true_or_false() -> None:
    assert {VOCABULARY[path].type for path in ADVERSE} == {Type.BOOL}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["agent", "agent:x", "mdm", "edr"]),
            st.sampled_from([True, False]),
            st.integers(0, 200_000),
        ),
        max_size=8,
    )
)
def test_with_an_agent_a_host_never_looks_better(said: list[tuple[str, bool, int]]) -> None:
    """Whatever is said: with the agent's words the attribute is what it was without them, or it is the bad value."""
    everything = [says(source, value, age=age) for source, value, age in said]
    without = newest(one for one in everything if not one.source.startswith("agent"))
    together = newest(everything)
    path = "posture.disk_encrypted"
    if path in together and together[path] != without.get(path):
        assert together[path].value is ADVERSE[path]
    else:
        assert together == without
