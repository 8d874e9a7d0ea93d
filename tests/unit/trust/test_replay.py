"""Counting what a new policy would change, and saying it in a sentence."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.unit.trust.policies import rules, taken
from troth.trust.authoring.replay import MAX_GROUPS, MAX_NAMES, Tally
from troth.trust.decision.judge import judge
from troth.trust.model import Decision, Kind, Moment, SubjectRef
from troth.trust.standing import Standing

OLD = rules("- {rule: all, moments: [connect, renew], then: allow, unknown: deny}")
NEW = rules(
    "- rule: new-systems\n  moments: [connect, renew]\n  require:\n"
    '    up_to_date: version_at_least(posture.os_version, "15")\n    compliant: posture.compliant\n'
    "  then: allow\n  else: {quarantine: {profile: quarantine}}\n  unknown: restrict\n"
)


def pair(number: int, asked: str = "wifi-device", moment: Moment = Moment.CONNECT, **values: Any) -> tuple[Any, Any]:
    """What both policies say of one device."""
    made = taken({name.replace("__", "."): value for name, value in values.items()}, moment=moment, asked=asked)
    who = SubjectRef(UUID(int=number), Kind.DEVICE, f"laptop-{number}", Standing.TRUSTED, 0)
    made = structs.replace(made, subject=who)
    return judge(OLD, made), judge(NEW, made)


def fill(tally: Tally, pairs: list[tuple[Decision, Decision]], source: Any = "fleet") -> None:
    for before, after in pairs:
        tally.add(source, before, after, frozenset())


def test_the_sentence_of_the_issue() -> None:
    tally = Tally()
    fill(tally, [pair(n, posture__os_version="14.2", posture__compliant=True) for n in range(290)])
    fill(tally, [pair(n, posture__os_version="15", posture__compliant=False) for n in range(290, 312)])
    fill(tally, [pair(n, posture__os_version="15.1", posture__compliant=True) for n in range(312, 1000)])
    report = tally.report("p", 2, 1, fleet_complete=True, record_complete=True, since=None)
    assert report.sentences[0] == "312 devices would lose Wi-Fi, 290 of them for posture.os_version."
    assert (report.fleet.judged, report.fleet.changed, report.fleet.lost) == (1000, 312, 312)
    assert report.losing_percent == 32
    first = report.groups[0]
    assert (first.before, first.after, first.why, first.count) == ("allow", "quarantine", "up_to_date", 290)
    assert len(first.names) == MAX_NAMES


@pytest.mark.parametrize(
    ("moment", "profile", "words"),
    [
        (Moment.CONNECT, "vpn", "1 device would lose the VPN, for posture.compliant."),
        (Moment.CONNECT, "client-device", "1 device would lose what client-device opens, for posture.compliant."),
        (Moment.RENEW, "client-device", "1 device would lose the renewal of client-device, for posture.compliant."),
    ],
)
def test_what_would_be_lost_has_a_name(moment: Moment, profile: str, words: str) -> None:
    tally = Tally()
    fill(tally, [pair(1, profile, moment, posture__os_version="15", posture__compliant=False)])
    assert tally.report("p", 1, None, fleet_complete=True, record_complete=True, since=None).sentences == (words,)


def test_restriction_gain_and_what_stays_are_told_apart() -> None:
    tally = Tally()
    restricted, same = pair(1, posture__compliant=True), pair(2, posture__os_version="15", posture__compliant=True)
    lost = pair(3, posture__os_version="1", posture__compliant=True)
    assert tally.add("fleet", *restricted, frozenset()) == "restrict"
    assert tally.add("fleet", *same, frozenset()) == "same"
    assert tally.add("fleet", *reversed(lost), frozenset()) == "gain"
    assert tally.add("fleet", None, same[1], frozenset()) == "gain"
    assert tally.losing_percent == 0


def test_what_the_record_does_not_have_is_not_counted_as_a_loss() -> None:
    tally = Tally()
    before, after = pair(1, posture__compliant=True)
    assert tally.add("recorded", before, after, frozenset({"posture.os_version"})) == "unrecorded"
    report = tally.report("p", 2, 1, fleet_complete=True, record_complete=True, since=None)
    assert (report.recorded.unrecorded, report.recorded.changed) == (1, 0)
    assert "Of 1 decisions the record does not have what the new policy asks." in report.sentences


def test_groups_are_bounded_and_none_is_lost_in_the_count() -> None:
    tally = Tally()
    before, after = pair(1, posture__os_version="1", posture__compliant=True)
    for number in range(MAX_GROUPS + 50):
        changed = structs.replace(after, asked=f"profile-{number}")
        tally.add("fleet", before, changed, frozenset())
    assert sum(one.count for one in tally.groups()) == MAX_GROUPS + 50


@given(st.lists(st.tuples(st.sampled_from(["14", "15", None]), st.sampled_from([True, False, None])), max_size=20))
def test_the_groups_add_up_to_the_totals(cases: list[tuple[str | None, bool | None]]) -> None:
    tally = Tally()
    for number, (version, compliant) in enumerate(cases):
        values: dict[str, Any] = {"posture__os_version": version, "posture__compliant": compliant}
        fill(tally, [pair(number, **{name: value for name, value in values.items() if value is not None})])
    report = tally.report("p", 1, None, fleet_complete=True, record_complete=True, since=None)
    assert report.fleet.judged == len(cases)
    assert sum(one.count for one in report.groups) == report.fleet.changed
    assert sum(one.count for one in report.groups if one.change == "lose") == report.fleet.lost
