"""Several rulings become one: the laws of strictness, and what each obligation means in a policy file."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trust.policies import HEALTHY, rules, taken
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge, lay_standing
from troth.trust.decision.obligations import Joined, strictest
from troth.trust.errors import PolicyError
from troth.trust.model import Moment, Obligations, Outcome, Ruling, decode_decision, encode
from troth.trust.standing import Standing

_WORDS = st.none() | st.sampled_from(["a", "b", "10", "9"])
_LENGTHS = st.none() | st.sampled_from([timedelta(hours=1), timedelta(hours=2), timedelta(days=1)])
_RULINGS = st.builds(
    Ruling,
    st.sampled_from(Outcome),
    st.builds(
        Obligations,
        lifetime=_LENGTHS,
        profile=_WORDS,
        notify=st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=2).map(tuple),
        say=_WORDS,
        network=_WORDS,
        role=_WORDS,
        vlan=_WORDS,
        acl=_WORDS,
        session_time=_LENGTHS,
        approval=_LENGTHS,
    ),
)


@given(st.lists(_RULINGS, min_size=1, max_size=5).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_the_order_of_rulings_does_not_matter(pair: tuple[list[Ruling], list[Ruling]]) -> None:
    assert strictest(*pair[0]) == strictest(*pair[1])


@given(st.lists(_RULINGS, min_size=1, max_size=4))
def test_saying_it_twice_changes_nothing(some: list[Ruling]) -> None:
    assert strictest(*some, *some) == strictest(*some)
    assert strictest(strictest(*some)) == strictest(*some)


@given(_RULINGS, _RULINGS, _RULINGS)
def test_grouping_does_not_matter(one: Ruling, two: Ruling, three: Ruling) -> None:
    first, second, third = map(Joined.of, (one, two, three))
    assert first.join(second).join(third) == first.join(second.join(third))
    assert first.join(second).join(third).ruling() == strictest(three, one, two)


@given(_RULINGS, _RULINGS)
def test_a_further_ruling_never_makes_it_milder(one: Ruling, other: Ruling) -> None:
    alone, both = strictest(one), strictest(one, other)
    assert both.outcome >= alone.outcome
    assert set(both.obligations.notify) >= set(alone.obligations.notify)
    if both.outcome is Outcome.DENY:
        assert both.obligations == Obligations(notify=both.obligations.notify, say=both.obligations.say)
        return
    for mine, theirs in (
        (alone.obligations.lifetime, both.obligations.lifetime),
        (alone.obligations.session_time, both.obligations.session_time),
        (alone.obligations.approval, both.obligations.approval),
    ):
        assert mine is None or (theirs is not None and theirs <= mine)
    if both.outcome is not Outcome.QUARANTINE:
        # A filter that one of them names does not vanish because a stricter one names none.
        for name in ("profile", "network", "role", "vlan", "acl"):
            assert getattr(alone.obligations, name) is None or getattr(both.obligations, name) is not None


def test_what_a_milder_ruling_says_is_not_told_and_its_place_does_not_follow_into_quarantine() -> None:
    allowed = Ruling(Outcome.ALLOW, Obligations(say="Welcome.", vlan="10", acl="staff"))
    held = strictest(allowed, Ruling(Outcome.RESTRICT, Obligations(lifetime=timedelta(hours=1))))
    assert held.obligations == Obligations(lifetime=timedelta(hours=1), vlan="10", acl="staff")
    assert strictest(allowed, Ruling(Outcome.QUARANTINE)) == Ruling(Outcome.QUARANTINE)


def test_nothing_ruled_allows_nothing() -> None:
    with pytest.raises(ValueError, match="no ruling"):
        strictest()


def test_equally_strict_rulings_that_disagree_take_the_lowest_vlan_and_the_first_word() -> None:
    one = Ruling(Outcome.RESTRICT, Obligations(vlan="10", role="guest"))
    other = Ruling(Outcome.RESTRICT, Obligations(vlan="9", role="contractor"))
    assert strictest(one, other).obligations == Obligations(vlan="9", role="contractor")


@pytest.mark.parametrize("standing", [Standing.RESTRICTED, Standing.QUARANTINED])
def test_a_rules_own_choice_stands_where_it_is_as_strict_as_the_standing(standing: Standing) -> None:
    head = (
        "standing: {restricted: {lifetime: 24h, vlan: 40}, quarantined: {profile: quarantine, lifetime: 4h, vlan: 50}}"
    )
    word = "restrict" if standing is Standing.RESTRICTED else "quarantine"
    policy = rules(
        f"- {{rule: r, moments: [connect], then: {{{word}: {{vlan: 99, profile: mine}}}}, unknown: deny}}", head=head
    )
    least = Outcome(word)
    laid = lay_standing(policy, policy.rules[0].then, least, Moment.CONNECT).obligations
    assert (laid.vlan, laid.profile) == ("99", "mine")
    milder = lay_standing(policy, Ruling(Outcome.ALLOW, Obligations(vlan="99")), least, Moment.CONNECT).obligations
    assert milder.vlan == ("40" if standing is Standing.RESTRICTED else "50")


SESSION = """
  - rule: r
    moments: [connect]
    then: {allow: {network: staff, role: Staff Users, vlan: 120, acl: permit-web.in, session_time: 8h}}
    unknown: {restrict: {vlan: guests, session_time: 10m}}
"""


def test_a_policy_says_where_a_session_belongs() -> None:
    decision = judge(rules(SESSION), taken(HEALTHY, moment=Moment.CONNECT))
    assert decision.obligations == Obligations(
        network="staff", role="Staff Users", vlan="120", acl="permit-web.in", session_time=timedelta(hours=8)
    )
    told = explain(decision).text()
    assert "The network's VLAN is 120." in told
    assert "asked about anew after 8 hours" in told


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vlan", "0", "1 to 4094"),
        ("vlan", "4095", "1 to 4094"),
        ("vlan", '"12"', "without quotes"),
        ("vlan", '"a\\tb"', "letters"),
        ("acl", '"x\\ny"', "letters"),
        ("role", '""', "text of 1"),
        ("network", "Staff", "lower-case"),
        ("session_time", "30s", "1m to 30d"),
        ("session_time", "31d", "1m to 30d"),
        ("approval", "30s", "1m to 30d"),
    ],
)
def test_an_obligation_that_no_network_could_keep_is_refused(field: str, value: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        rules(f"- {{rule: r, then: {{allow: {{{field}: {value}}}}}, unknown: deny}}")


@pytest.mark.parametrize("given_", ["vlan: 5", "session_time: 1h", "network: n"])
def test_who_is_denied_has_no_place(given_: str) -> None:
    with pytest.raises(PolicyError, match="no place in the network"):
        rules(f"- {{rule: r, then: {{deny: {{{given_}}}}}, unknown: deny}}")


def test_old_records_read_as_they_were() -> None:
    """An obligation that is not there is not written: decisions recorded before stay the same bytes."""
    decision = judge(rules("- {rule: r, then: {allow: {lifetime: 1h}}, unknown: deny}"), taken({}))
    data = encode(decision)
    assert b"vlan" not in data
    assert encode(decode_decision(data)) == data


def test_nobody_waits_for_a_person_at_a_connection() -> None:
    with pytest.raises(PolicyError, match="approval is for issue and renew"):
        rules("- {rule: r, moments: [issue, connect], then: {allow: {approval: 1h}}, unknown: deny}")
    policy = rules("- {rule: r, then: {allow: {approval: 1h}}, unknown: deny}")
    decision = judge(policy, taken(HEALTHY))
    assert decision.obligations.approval == timedelta(hours=1)
    assert "A person must approve it first, within 1 hour." in explain(decision).text()
